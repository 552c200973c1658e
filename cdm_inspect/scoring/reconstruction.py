"""`reconstruction`: noise a part halfway, restore it in a few steps, and look at the difference.

The restoration follows the probability-flow ODE with DPM-Solver++(2M): deterministic given the
noise, which is drawn from the image's own seed. Several depths see defects of several sizes.

Sources: Wyatt et al. 2022, AnoDDPM (partial noising); Lu et al. 2022, arXiv:2211.01095 (solver).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cdm_inspect.contracts import Denoiser
from cdm_inspect.diffusion import karras_sigmas, sample_dpm_solver
from cdm_inspect.scoring.levels import LevelScorer, level, seeded_noise
from cdm_inspect.scoring.options import ReconstructionOptions

# Below this the restoration changes less than an 8-bit grey step; see method notes on levels.
_LAST_SIGMA = 0.02


class ReconstructionScorer(LevelScorer):
    """`steps` evaluations a draw and depth."""

    def __init__(self, denoiser: Denoiser, options: ReconstructionOptions) -> None:
        super().__init__(denoiser, options)
        self.options = options

    @property
    def depth(self) -> int:
        """Depths."""
        return len(self.options.starts)

    def energy(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """Mean over channels and draws of (x - restored)^2 at each depth."""
        depths = []
        for start in self.options.starts:
            total = torch.zeros_like(images[:, 0])
            for draw in range(self.options.draws):
                noise = seeded_noise(images, [seed + draw for seed in seeds])
                total += (images - self.restore_part(images, start, noise)).square().mean(dim=1)
            depths.append(total / self.options.draws)
        return torch.stack(depths, dim=1)

    def restore_part(self, images: Tensor, start: float, noise: Tensor) -> Tensor:
        """What the model makes of the parts from noise level `start`; as `images`."""
        sigmas = karras_sigmas(
            self.options.steps, sigma_max=start, sigma_min=min(_LAST_SIGMA, start / 2)
        )

        def mean(noisy: Tensor, sigma: Tensor) -> Tensor:
            return self.denoiser(noisy, level(float(sigma), noisy)).mean

        return sample_dpm_solver(mean, images + start * noise, sigmas)

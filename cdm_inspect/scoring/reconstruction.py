"""`reconstruction`: noise a part halfway, restore it in a few steps, and look at the difference.

The restoration follows the probability-flow ODE with DPM-Solver++(2M): deterministic given the
noise, which is drawn from the image's own seed. Several depths see defects of several sizes, and
several distances defects of several kinds.

Sources: Wyatt et al. 2022, AnoDDPM (partial noising); Lu et al. 2022, arXiv:2211.01095 (solver);
Mousakhan et al. 2023, DDAD, arXiv:2305.15956 (a distance between features beside that of pixels).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cdm_inspect.errors import CheckpointMismatch
from cdm_inspect.model.diffusion import karras_sigmas, sample_dpm_solver
from cdm_inspect.plugins import Denoiser
from cdm_inspect.records import FloatArray
from cdm_inspect.scoring.distances import (
    DISTANCES,
    Distance,
    backbone_distance,
    feature_distance,
)
from cdm_inspect.scoring.level_scorer import LevelScorer, noise_bank
from cdm_inspect.scoring.options import ReconstructionOptions

# Below this the restoration changes less than an 8-bit grey step; see method notes on levels.
_LAST_SIGMA = 0.02


class ReconstructionScorer(LevelScorer):
    """`steps` evaluations a draw and depth."""

    def __init__(self, denoiser: Denoiser, options: ReconstructionOptions) -> None:
        super().__init__(denoiser, options)
        self.options = options
        self.distances = [self._distance(name) for name in options.distances]
        self._levels: dict[float, list[float]] = {
            start: karras_sigmas(
                options.steps, sigma_max=start, sigma_min=min(_LAST_SIGMA, start / 2)
            ).tolist()
            for start in options.starts
        }

    @property
    def depth(self) -> int:
        """Depths times distances."""
        return len(self.options.starts) * len(self.distances)

    def energy(self, images: Tensor) -> Tensor:
        """Each distance from the restoration, mean over draws, at each depth."""
        found = []
        for start in self.options.starts:
            draws = []
            for draw in range(self.options.draws):
                restored = self._drawn(images, start, draw)
                draws.append(torch.stack([d(images, restored) for d in self.distances], dim=1))
            found.append(torch.stack(draws).mean(dim=0))
        return torch.cat(found, dim=1)

    def restored(self, images: Tensor) -> Tensor:
        """The first draw from the highest level: a plausible part, where a mean would be a blur."""
        return self._drawn(images, max(self.options.starts), 0)

    def _drawn(self, images: Tensor, start: float, draw: int) -> Tensor:
        ask = partial(self.restore_part, images, start, noise_bank(images, draw))
        return self.denoiser.remembered(images, ("restored", start, draw), ask)

    def restore_part(self, images: Tensor, start: float, noise: Tensor) -> Tensor:
        """What the model makes of the parts from noise level `start`; as `images`."""

        def mean(noisy: Tensor, sigma: Tensor) -> Tensor:
            return self.denoiser(noisy, sigma.expand(noisy.shape[0], 1, 1, 1)).mean

        return sample_dpm_solver(mean, images + start * noise, self._levels[start])

    def state(self) -> Mapping[str, FloatArray]:
        """The fitted statistics, the pooling, and which weights they were fitted with."""
        return {**super().state(), "weights_sha256": self._weights_hash()}

    def restore(self, state: Mapping[str, FloatArray]) -> None:
        """Take back what `state` returned.

        Raises:
            CheckpointMismatch: if the file of weights holds others than those.
        """
        if not np.array_equal(state["weights_sha256"], self._weights_hash()):
            raise CheckpointMismatch(
                f"the weights in {self.options.weights} changed since the line was calibrated. "
                "Run `cdm-inspect calibrate`, or restore them."
            )
        super().restore(state)

    def _weights_hash(self) -> FloatArray:
        data = b"" if self.options.weights is None else Path(self.options.weights).read_bytes()
        return np.frombuffer(hashlib.sha256(data).digest(), np.uint8)

    def _distance(self, name: str) -> Distance:
        if name == "features":
            return feature_distance(self.denoiser)
        if name == "backbone":
            return backbone_distance(str(self.options.backbone), Path(str(self.options.weights)))
        return DISTANCES[name]

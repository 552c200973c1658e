"""What a trained model is worth, said without a single defective part.

Five questions, each by noise level or by number of steps: does it know its training parts better
than others (overfit), do its predictions drift along its own trajectories (martingale gap), is its
field a gradient (curl), do parts change their character when they are restored (sampling drift),
and does it know how sure it is (standardised residual).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from cdm_inspect.model.checkpoint import TrainedModel
from cdm_inspect.model.diffusion import (
    SIGMA_MAX,
    MeanFunction,
    dsm_weight,
    jacobian_asymmetry,
    karras_sigmas,
    martingale_gap,
    sample_dpm_solver,
)
from cdm_inspect.records import DoubleArray, Estimate, FloatArray, Tick, no_progress

SIGMAS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
# From the last of these nothing of a part is left: what comes back is generated.
STARTS = (0.5, 1.0, 2.0, SIGMA_MAX)
STEPS = (2, 4, 8, 16)

_BATCH = 8
_GAP_STEPS = 4
_GAP_FALL = 0.5  # trajectories end at this share of the noise level they start from
# Low enough that the last prediction takes nothing from a part that a camera has put there: what a
# restoration loses, it has lost on the way.
_LAST_SIGMA = 0.005
_BANDS = 8
_RETURN_SIGMA = 0.25
# Held-out error over training error above which, at all of its interval, the model has overfitted.
_OVERFIT = 1.1
WARNINGS = {
    "overfit": (
        "overfitting: the error on held-out parts is more than "
        f"{_OVERFIT - 1:.0%} above that on training parts at sigma "
        "{}. Train for less time, or on more parts."
    ),
    "variance": (
        "the learnt variance is off by more than 2 x at sigma {}: standardised residuals there "
        "compare poorly between parts."
    ),
}


def estimate_mean(
    *samples: DoubleArray,
    statistic: Callable[..., DoubleArray] = np.mean,
    paired: bool = False,
) -> Estimate:
    """A statistic of samples over parts, with its bootstrap interval; seeded.

    Args:
        samples: (parts,) each; resampled each for itself or, if `paired`, together.
        statistic: of all of them, along `axis`.
        paired: whether the same parts are in each.
    """
    value = float(statistic(*samples, axis=-1))
    if min(len(sample) for sample in samples) < 2:
        return Estimate(value=value, low=float("nan"), high=float("nan"))
    interval = stats.bootstrap(
        samples, statistic, n_resamples=1000, method="percentile", paired=paired, rng=0
    ).confidence_interval
    return Estimate(value=value, low=float(interval.low), high=float(interval.high))


@dataclass(frozen=True, kw_only=True)
class LevelDiagnosis:
    """A model at one noise level.

    Attributes:
        sigma: noise level, image units.
        dsm_train: weighted denoising error on parts it was trained on.
        dsm_held_out: the same on held-out parts.
        overfit: held-out over training error; 1 where nothing was learnt by heart.
        gap: martingale gap over four ancestral steps to half the noise, weighted as the DSM loss;
            0 for a consistent model.
        curl: normalised asymmetry of the Jacobian, in [0, 1]; 0 for a conservative field.
        z_squared: squared residual over the learnt variance; 1 where the model knows how sure it
            is, above where it is too sure.
    """

    sigma: float
    dsm_train: Estimate
    dsm_held_out: Estimate
    overfit: Estimate
    gap: Estimate
    curl: Estimate
    z_squared: Estimate


@dataclass(frozen=True, kw_only=True)
class DriftDiagnosis:
    """Held-out parts noised to `start` and restored in `steps` by DPM-Solver++(2M).

    From the highest noise nothing of a part is left, and what comes back is a generated part.

    Attributes:
        drift: root mean square, over brightness, contrast and eight bands of the spectrum, of the
            mean change by restoring, in standard deviations between good parts.
        returned: one-step error of the model on what it restored, over that on the real parts, at
            noise 0.25; 1 where restored parts are as rich as real ones.
    """

    start: float
    steps: int
    drift: Estimate
    returned: Estimate


@dataclass(frozen=True, kw_only=True)
class DiagnosisWarning:
    """What is to be warned of, for programs that say it in their own words.

    Attributes:
        kind: `overfit` or `variance`.
        sigmas: noise levels at which it was found.
    """

    kind: str
    sigmas: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All figures of one model; `warnings` are the `concerns` in sentences."""

    model: str
    n_train: int
    n_held_out: int
    levels: tuple[LevelDiagnosis, ...]
    drifts: tuple[DriftDiagnosis, ...]
    warnings: tuple[str, ...]
    concerns: tuple[DiagnosisWarning, ...] = ()


def diagnose_model(
    model: TrainedModel,
    train: FloatArray,
    held_out: FloatArray,
    *,
    sigmas: Sequence[float] = SIGMAS,
    starts: Sequence[float] = STARTS,
    steps: Sequence[int] = STEPS,
    tick: Tick = no_progress,
) -> Diagnosis:
    """Measure one model. The same seeds serve every model, so that two can be compared.

    Args:
        model: on any device.
        train: (count, channels, height, width) prepared parts it was trained on.
        held_out: the same, never trained on.
        sigmas: noise levels for the figures by level.
        starts: noise levels to restore from.
        steps: numbers of solver steps.
    """
    total, done = len(sigmas) + len(starts) * len(steps), 0
    known, fresh = (torch.from_numpy(parts).to(model.device) for parts in (train, held_out))
    levels, drifts = [], []
    for sigma in sigmas:
        levels.append(_diagnose_level(model, known, fresh, sigma))
        tick(done := done + 1, total)
    real = image_statistics(held_out)
    for start in starts:
        for count in steps:
            drifts.append(_diagnose_drift(model, fresh, real, start, count))
            tick(done := done + 1, total)
    concerns = tuple(_concerns(levels))
    return Diagnosis(
        model=model.id,
        n_train=len(train),
        n_held_out=len(held_out),
        levels=tuple(levels),
        drifts=tuple(drifts),
        warnings=tuple(WARNINGS[concern.kind].format(_listed(concern)) for concern in concerns),
        concerns=concerns,
    )


def restore(model: TrainedModel, parts: Tensor, *, start: float, steps: int) -> Tensor:
    """Parts noised to `start` and restored by DPM-Solver++(2M); noise seeded by position."""
    sigmas = karras_sigmas(steps, sigma_max=start, sigma_min=min(_LAST_SIGMA, start / 2))
    noise = _noise(parts, seed=2)
    restored = [
        sample_dpm_solver(mean_function(model), batch + start * drawn, sigmas)
        for batch, drawn in _batches(parts, noise)
    ]
    return torch.cat(restored)


def mean_function(model: TrainedModel) -> MeanFunction:
    """The denoiser as samplers and estimators take it."""

    def mean(x: Tensor, sigma: Tensor) -> Tensor:
        levels = sigma.to(x.device, torch.float32).expand(len(x), 1, 1, 1)
        return model.denoiser(x, levels).mean  # type: ignore[no-any-return]

    return mean


def image_statistics(parts: FloatArray) -> DoubleArray:
    """Brightness, log contrast, and log power in eight octave-like bands, of grey images.

    Args:
        parts: (count, channels, height, width).

    Returns:
        (count, 10).
    """
    grey = parts.mean(axis=1, dtype=np.float64)
    centred = grey - grey.mean(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(centred, norm="ortho")) ** 2
    rows, columns = np.fft.fftfreq(grey.shape[1]), np.fft.fftfreq(grey.shape[2])
    radius = np.hypot(rows[:, None], columns[None])
    edges = np.geomspace(1 / max(grey.shape[1:]), 0.5, _BANDS + 1)
    edges[0] = 0.0
    bands = [
        power[:, (radius > low) & (radius <= high)].mean(axis=1) for low, high in pairwise(edges)
    ]
    # An 8-bit step's worth of power keeps the logarithm of an empty band finite.
    floor = (2 / 255) ** 2 / 12
    logs = [np.log(value + floor) for value in (centred.var(axis=(1, 2)), *bands)]
    return np.stack([grey.mean(axis=(1, 2)), *logs], axis=1)


def _diagnose_level(
    model: TrainedModel, train: Tensor, held_out: Tensor, sigma: float
) -> LevelDiagnosis:
    dsm_train, _ = _errors(model, train, sigma)
    dsm_held_out, z_squared = _errors(model, held_out, sigma)
    mean, level = mean_function(model), torch.tensor(sigma)
    path = torch.from_numpy(np.geomspace(sigma, _GAP_FALL * sigma, _GAP_STEPS + 1))
    weight = float(dsm_weight(level, model.card.sigma_data))
    gaps, asymmetries, norms = [], [], []
    generator = torch.Generator(device=model.device).manual_seed(3)
    for batch in torch.split(held_out + sigma * _noise(held_out, seed=1), _BATCH):
        gap = martingale_gap(mean, batch, path, paths=4, generator=generator)
        gaps.append(weight * gap.mean(dim=(1, 2, 3)))
        found = jacobian_asymmetry(mean, batch, level, probes=1, generator=generator)
        asymmetries.append(found.asymmetry.detach())
        norms.append(found.norm.detach())
    return LevelDiagnosis(
        sigma=sigma,
        dsm_train=estimate_mean(dsm_train),
        dsm_held_out=estimate_mean(dsm_held_out),
        overfit=estimate_mean(dsm_held_out, dsm_train, statistic=_ratio_of_means),
        gap=estimate_mean(_values(gaps)),
        curl=estimate_mean(
            _values(asymmetries), 2 * _values(norms), statistic=_ratio_of_means, paired=True
        ),
        z_squared=estimate_mean(z_squared),
    )


def _diagnose_drift(
    model: TrainedModel, held_out: Tensor, real: DoubleArray, start: float, steps: int
) -> DriftDiagnosis:
    with torch.inference_mode():
        restored = restore(model, held_out, start=start, steps=steps)
    change = image_statistics(restored.cpu().numpy()) - real
    spread = np.maximum(real.std(axis=0), 1e-3)
    own, _ = _errors(model, restored, _RETURN_SIGMA)
    reference, _ = _errors(model, held_out, _RETURN_SIGMA)
    return DriftDiagnosis(
        start=start,
        steps=steps,
        drift=estimate_mean(*(change / spread).T, statistic=_length_of_mean, paired=True),
        returned=estimate_mean(own, reference, statistic=_ratio_of_means, paired=True),
    )


def _length_of_mean(*changes: DoubleArray, axis: int = -1) -> DoubleArray:
    squares = [np.square(change.mean(axis=axis)) for change in changes]
    root: DoubleArray = np.sqrt(np.mean(squares, axis=0))
    return root


def _ratio_of_means(above: DoubleArray, below: DoubleArray, axis: int = -1) -> DoubleArray:
    return np.asarray(above.mean(axis=axis) / below.mean(axis=axis))


@torch.inference_mode()
def _errors(model: TrainedModel, parts: Tensor, sigma: float) -> tuple[DoubleArray, DoubleArray]:
    """Weighted denoising error, and squared residual over the learnt variance; of each part."""
    weight = float(dsm_weight(torch.tensor(sigma), model.card.sigma_data))
    errors, standardised = [], []
    noise = sigma * _noise(parts, seed=1)
    for batch, drawn in _batches(parts, noise):
        level = torch.full((len(batch), 1, 1, 1), sigma, device=batch.device)
        posterior = model.denoiser(batch + drawn, level)
        square = (posterior.displacement + drawn).square()
        errors.append(weight * square.mean(dim=(1, 2, 3)))
        standardised.append((square * (-posterior.log_variance).exp()).mean(dim=(1, 2, 3)))
    return _values(errors), _values(standardised)


def _batches(parts: Tensor, noise: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(torch.split(parts, _BATCH), torch.split(noise, _BATCH), strict=True)


def _noise(parts: Tensor, *, seed: int) -> Tensor:
    """Standard normal noise, the same on every device."""
    drawn = torch.randn(parts.shape, generator=torch.Generator().manual_seed(seed))
    return drawn.to(parts.device)


def _values(batches: Sequence[Tensor]) -> DoubleArray:
    return torch.cat(list(batches)).double().cpu().numpy()


def _concerns(levels: Sequence[LevelDiagnosis]) -> Iterator[DiagnosisWarning]:
    found = {
        "overfit": [level.sigma for level in levels if level.overfit.low > _OVERFIT],
        "variance": [level.sigma for level in levels if not 0.5 < level.z_squared.value < 2],
    }
    for kind, sigmas in found.items():
        if sigmas:
            yield DiagnosisWarning(kind=kind, sigmas=tuple(sigmas))


def _listed(concern: DiagnosisWarning) -> str:
    return ", ".join(f"{sigma:g}" for sigma in concern.sigmas)

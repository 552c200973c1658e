"""Denoisers, and what scorers make of them; torch is named for type checkers only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel

from cdm_inspect.plugins.contracts.options import Options

if TYPE_CHECKING:
    from torch import Tensor

    from cdm_inspect.records import FloatArray


class Posterior(NamedTuple):
    """What a denoiser says of x_0 given a noisy image; each tensor is shaped like the image.

    Attributes:
        mean: D(y, sigma) = E[x_0 | y], float32, image units.
        displacement: mean - y, computed without cancellation; sigma^2 times the score.
        log_variance: natural logarithm of the learnt variance of each sample of x_0 given y.
    """

    mean: Tensor
    displacement: Tensor
    log_variance: Tensor


class Denoiser(Protocol):
    """A trained denoiser."""

    @property
    def channels(self) -> int:
        """Channels of the images it takes."""
        ...

    @property
    def sigma_data(self) -> float:
        """Standard deviation of the training images, in image units."""
        ...

    @property
    def restores_cells(self) -> bool:
        """Whether training has shown it noise that differs from pixel to pixel."""
        ...

    @property
    def resolutions(self) -> int:
        """Resolutions that the network works at, each half of the one before."""
        ...

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Posterior:
        """Denoise.

        Args:
            noisy: (batch, channels, height, width) float32; height and width divisible by 8.
            sigma: noise level, (batch, 1, 1, 1) or (batch, 1, height, width), float32, > 0.
        """
        ...

    def features(self, noisy: Tensor, sigma: Tensor) -> Sequence[Tensor]:
        """What the network makes of images on its way to the mean, coarse to fine.

        Args:
            noisy: as for denoising.
            sigma: as for denoising.

        Returns:
            One tensor a resolution, (batch, depth, height, width) float32, each with a depth,
            height and width of its own; the last is as large as the images, padded to what the
            network can halve.
        """
        ...


class ScoreBatch(NamedTuple):
    """What a scorer says of a batch; higher is more abnormal.

    Attributes:
        scores: (batch,) float32, finite.
        maps: (batch, height, width) float32, finite, in units that compare between parts.
        restored: what the model makes of the parts, for people to look at beside the photograph:
            (batch, 1 or 3, height, width) float32, finite, in image units, where black is -1 and
            white +1; what lies beyond is shown as black or white. None from a scorer that restores
            nothing. It says nothing of the score, and should cost nothing beside it.
    """

    scores: Tensor
    maps: Tensor
    restored: Tensor | None = None


@runtime_checkable
class Scorer(Protocol):
    """Says how odd each part of a batch looks.

    A part's score must not depend on the parts beside it, on the process, or on the time.
    """

    def score(self, images: Tensor, *, seeds: Sequence[int]) -> ScoreBatch:
        """Score a batch.

        Args:
            images: (batch, channels, height, width) float32 in [-1, 1].
            seeds: one an image, made from the model and the image's content; the only source of
                randomness allowed.
        """
        ...


@runtime_checkable
class FittedScorer(Scorer, Protocol):
    """A scorer that learns statistics from good parts before it scores.

    They are held-out parts and, where those are few, also some that the model has trained on.
    `score(images)` equals `judge(observe(images))`. Splitting it lets the host observe each part
    once and fit many times (cross-fitting).
    """

    def observe(self, images: Tensor, *, seeds: Sequence[int]) -> Tensor:
        """The evidence in each part: (batch, ...) float32, independent of what was fitted."""
        ...

    def fit(self, evidence: Tensor) -> None:
        """Learn from the evidence of good parts, (count, ...) as `observe` gives it."""
        ...

    def judge(self, evidence: Tensor) -> ScoreBatch:
        """Scores and maps from evidence."""
        ...

    def state(self) -> Mapping[str, FloatArray]:
        """What was fitted, by name."""
        ...

    def restore(self, state: Mapping[str, FloatArray]) -> None:
        """Take back what `state` returned."""
        ...


@runtime_checkable
class TrainedScorer(Scorer, Protocol):
    """A scorer that trains on the line's own training parts, before it is calibrated.

    Held-out parts are kept from it, so that what it says of them is what it says of fresh ones.
    """

    def learn(self, images: Tensor) -> None:
        """Train anew.

        Args:
            images: (count, channels, height, width) float32 in [-1, 1], on the CPU; the good parts
                that the line's model has trained on.
        """
        ...

    def state(self) -> Mapping[str, FloatArray]:
        """What was learnt, by name; kept with the calibration."""
        ...

    def restore(self, state: Mapping[str, FloatArray]) -> None:
        """Take back what `state` returned."""
        ...


class DamagedParts(NamedTuple):
    """Copies of good parts that were damaged in known ways.

    Attributes:
        layers: (count, ...) float32, as `TunedScorer.combine` gives them.
        masks: (count, height, width) boolean, true where the damage is.
    """

    layers: Tensor
    masks: Tensor


@runtime_checkable
class TunedScorer(FittedScorer, Protocol):
    """A fitted scorer that also chooses, once, how what it has combined becomes a score.

    `judge(evidence)` equals `pool(combine(evidence))`. Splitting it lets the host show `tune` parts
    that the statistics behind `combine` have not seen, and compare the scores of all folds.
    """

    def combine(self, evidence: Tensor) -> Tensor:
        """What the fitted statistics make of evidence: (count, ...) float32."""
        ...

    def tune(self, good: Tensor, damaged: DamagedParts) -> None:
        """Choose how layers become a score.

        Args:
            good: layers of good parts, (count, ...), each by statistics fitted without it.
            damaged: copies of the same parts with synthetic defects; as many as there may be.
        """
        ...

    def pool(self, layers: Tensor) -> ScoreBatch:
        """Scores and maps from layers."""
        ...

    def describe(self) -> Mapping[str, object]:
        """What was found and chosen, as JSON; for people."""
        ...


@runtime_checkable
class ScaledScorer(TunedScorer, Protocol):
    """A tuned scorer whose score adds what must first be put on one scale.

    Standardised by a scale that it has a part in itself, no part could be far out; the host
    therefore scores each held-out part by a scale that the others have given.
    """

    def scale(self, good: Tensor) -> None:
        """Learn the scale from layers of good parts, (count, ...). Called after `tune`."""
        ...


@runtime_checkable
class RegionalScorer(Scorer, Protocol):
    """A scorer that can leave pixels out of its statistics and its score.

    The host levels what lies outside a line's region before any scorer sees it. One that is not
    given the region then finds the same there in every part.
    """

    def restrict(self, region: Tensor) -> None:
        """Heed only these pixels from now on: (height, width) boolean. Called before all else."""
        ...


@dataclass(frozen=True, kw_only=True)
class ScorerOffer:
    """A scorer, by name.

    Attributes:
        name: kebab-case, unique among all installed scorers.
        summary: one line.
        build: makes the scorer for a trained denoiser.
        options: what the project file may set under `[lines.NAME.scorers.<name>]`.
        needs_cells: whether its model must have learnt to restore hidden cells, which
            `Denoiser.restores_cells` tells; a line that names it does not train without.
        is_traceable: whether `score`, with the options as they are by default, is made of tensor
            operations alone and uses no seeds, so that it can be exported.
        contract: the version of this module the plugin was written for.
    """

    name: str
    summary: str
    build: Callable[[Denoiser, Any], Scorer]
    options: type[BaseModel] = Options
    needs_cells: bool = False
    is_traceable: bool = False
    contract: int

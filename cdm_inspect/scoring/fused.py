"""`fused`: several scorers on one scale.

Each member pools its own map by its own choice; its scores, in standard deviations of those of
held-out good parts, are averaged. What one member overlooks another sees, at another place or as
another kind of oddness; a mean of maps would ask that they agree where. The map for people to look
at is such a mean, at once sharp and averaged over boxes, since what is faint and wide is plain only
over its area, and shifted so that its highest pixels say what the score says: a threshold then
means the same on both. Weights are equal, unless others tell damaged copies of good parts from good
parts clearly better. Nothing is learnt from defective parts.

Source: Stouffer et al. 1949 (the sum of standardised scores); Caruana et al. 2004, ensemble
selection from libraries of models (how weights are chosen).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cdm_inspect.plugins import DamagedParts, Denoiser, ScoreBatch
from cdm_inspect.records import FloatArray
from cdm_inspect.scoring.bias import BiasScorer
from cdm_inspect.scoring.inpainting import InpaintingScorer
from cdm_inspect.scoring.level_scorer import LevelScorer
from cdm_inspect.scoring.options import FusedOptions
from cdm_inspect.scoring.pixel_statistics import ValueScale, box_blur
from cdm_inspect.scoring.pooling import Area, is_worth_it, with_peaks, won_pairs
from cdm_inspect.scoring.residual import ResidualScorer
from cdm_inspect.scoring.score_norm import ScoreNormScorer
from cdm_inspect.scoring.shared_evaluations import SharedEvaluations

# Further votes in all, at most, for each member there is.
_VOTES = 3
# Sides of the boxes, in prepared pixels, that the map is the mean over.
_BOXES = (1, 9, 27)


class FusedScorer:
    """Two evaluations, and two more where the model restores cells; members share the first two."""

    def __init__(self, denoiser: Denoiser, options: FusedOptions) -> None:
        self.options = options
        self._shared = denoiser = SharedEvaluations.of(denoiser)
        self.members: dict[str, LevelScorer] = {
            "residual": ResidualScorer(denoiser, options.residual),
            "score-norm": ScoreNormScorer(denoiser, options.score_norm),
            "bias": BiasScorer(denoiser, options.bias),
        }
        if denoiser.restores_cells:
            self.members["inpainting"] = InpaintingScorer(denoiser, options.inpainting)
        count = len(self.members)
        self.weights = torch.full((count,), 1 / count)
        self._scale = ValueScale()
        self._area: Area | None = None

    def restrict(self, region: Tensor) -> None:
        """Heed only these pixels; see `contracts.RegionalScorer`."""
        self._area = Area.of(region)
        for member in self.members.values():
            member.restrict(region)

    def observe(self, images: Tensor, *, seeds: Sequence[int]) -> Tensor:
        """Evidence of all members, one after the other along the second dimension."""
        with self._shared.looking(images):
            members = self.members.values()
            return torch.cat([member.observe(images, seeds=seeds) for member in members], dim=1)

    def fit(self, evidence: Tensor) -> None:
        """Fit each member, and the scale of its scores where `scale` has not given a better one."""
        for member, own in zip(self.members.values(), self._split(evidence), strict=True):
            member.fit(own)
        if not self._scale.is_fitted:
            self.scale(self.combine(evidence))

    def tune(self, good: Tensor, damaged: DamagedParts) -> None:
        """Choose the members' poolings, then their weights; see `contracts.TunedScorer`."""
        for index, member in enumerate(self.members.values()):
            copies = DamagedParts(damaged.layers[:, index], damaged.masks)
            member.tune(good[:, index], copies)
        self.scale(good)
        scores, theirs = (self._pooled(layers)[0] for layers in (good, damaged.layers))
        self.weights = choose_weights(self._scale(scores), self._scale(theirs))

    def scale(self, good: Tensor) -> None:
        """Learn mean and spread of each member's scores; see `contracts.ScaledScorer`."""
        self._scale.fit(self._pooled(good)[0])

    def combine(self, evidence: Tensor) -> Tensor:
        """The maps of all members, (batch, members, height, width), each in its own units."""
        members = zip(self.members.values(), self._split(evidence), strict=True)
        return torch.stack([member.combine(own) for member, own in members], dim=1)

    def pool(self, layers: Tensor) -> ScoreBatch:
        """Weighted means of the members' standardised scores, and of their maps in such units."""
        pooled, smoothed = self._pooled(layers)
        standardised = self._scale(pooled)
        weights = self.weights.to(layers)
        sharp = (self._scale(smoothed.movedim(1, -1)) @ weights)[:, None]
        inside = None if self._area is None else self._area.inside
        boxes = [box_blur(sharp, side, inside)[:, 0] for side in _BOXES]
        maps = torch.stack(boxes).mean(dim=0)
        scores = standardised @ weights
        return ScoreBatch(scores, with_peaks(maps, scores, self._area))

    def judge(self, evidence: Tensor) -> ScoreBatch:
        """The same, from evidence."""
        return self.pool(self.combine(evidence))

    def score(self, images: Tensor, *, seeds: Sequence[int]) -> ScoreBatch:
        """Scores, maps and restorations of a batch; see `contracts.Scorer`."""
        with self._shared.looking(images):
            batch = self.judge(self.observe(images, seeds=seeds))
            return batch._replace(restored=self.members["residual"].restored(images))

    def describe(self) -> Mapping[str, object]:
        """Each member's weight and what it found."""
        return {
            "members": {
                name: {"weight": round(float(weight), 4), **member.describe()}
                for (name, member), weight in zip(self.members.items(), self.weights, strict=True)
            }
        }

    def state(self) -> Mapping[str, FloatArray]:
        """The fitted statistics of all members, their scales and weights."""
        members = {
            f"{name}.{key}": value
            for name, member in self.members.items()
            for key, value in member.state().items()
        }
        return {**self._scale.state("scale"), "weights": self.weights.numpy(), **members}

    def restore(self, state: Mapping[str, FloatArray]) -> None:
        """Take back what `state` returned."""
        self._scale.restore(state, "scale")
        self.weights = torch.from_numpy(state["weights"])
        for name, member in self.members.items():
            prefix = f"{name}."
            member.restore(
                {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            )

    def _split(self, evidence: Tensor) -> tuple[Tensor, ...]:
        sizes = [member.depth for member in self.members.values()]
        parts: tuple[Tensor, ...] = torch.split(evidence, sizes, dim=1)
        return parts

    def _pooled(self, layers: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (batch, members) and maps (batch, members, height, width) before weighing."""
        batches = [
            member.pool(layers[:, index]) for index, member in enumerate(self.members.values())
        ]
        return (
            torch.stack([batch.scores for batch in batches], dim=1),
            torch.stack([batch.maps for batch in batches], dim=1),
        )


def choose_weights(good: Tensor, damaged: Tensor) -> Tensor:
    """Weights of members, (members,), summing to 1, by the AUROC of their weighted mean.

    Each member has one vote; further votes go, one at a time, to the member that gains most, as
    long as one gains. Equal weights stay unless the outcome is better by three standard errors.

    Args:
        good: (count, members) standardised scores of good parts.
        damaged: the same of synthetic defects.
    """
    members = good.shape[1]

    def won(votes: Tensor) -> Tensor:
        return won_pairs(good @ votes, damaged @ votes)

    votes = torch.ones(members).to(good)
    equal = best = won(votes)
    for _ in range(_VOTES * members):
        tries = [votes + vote for vote in torch.eye(members).to(good)]
        found = [won(some) for some in tries]
        index = max(range(members), key=lambda index: float(found[index].mean()))
        if float(found[index].mean()) <= float(best.mean()):
            break
        votes, best = tries[index], found[index]
    chosen = votes if is_worth_it(best, equal) else torch.ones(members).to(good)
    return (chosen / chosen.sum()).cpu()

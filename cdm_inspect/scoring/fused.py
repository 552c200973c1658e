"""`fused`: several scorers on one scale.

Each part's map, in its own units, is standardised by the mean and spread that it has over held-out
good parts, and the maps are averaged. What one scorer overlooks another sees; what one scorer
mistakes, the others do not confirm. Weights are equal, unless others tell damaged copies of good
parts from good parts clearly better. Nothing is learnt from defective parts.

Source: Caruana et al. 2004, ensemble selection from libraries of models (how weights are chosen).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cdm_inspect.contracts import DamagedParts, Denoiser, ScoreBatch
from cdm_inspect.errors import NotCalibrated
from cdm_inspect.records import FloatArray
from cdm_inspect.scoring.inpainting import InpaintingScorer
from cdm_inspect.scoring.levels import LevelScorer
from cdm_inspect.scoring.options import FusedOptions
from cdm_inspect.scoring.pooling import Pooling, choose_pooling, is_worth_it, won_pairs
from cdm_inspect.scoring.residual import ResidualScorer
from cdm_inspect.scoring.score_norm import ScoreNormScorer
from cdm_inspect.scoring.sharing import SharedEvaluations

# Further votes in all, at most, for each member there is.
_VOTES = 3


class FusedScorer:
    """The sum of its parts' evaluations; `inpainting` only where the model restores cells."""

    def __init__(self, denoiser: Denoiser, options: FusedOptions) -> None:
        self.options = options
        self._shared = denoiser = SharedEvaluations(denoiser)
        self.members: dict[str, LevelScorer] = {
            "residual": ResidualScorer(denoiser, options.residual),
            "score-norm": ScoreNormScorer(denoiser, options.score_norm),
        }
        if denoiser.restores_cells:
            self.members["inpainting"] = InpaintingScorer(denoiser, options.inpainting)
        self.pooling = Pooling(smooth=1, top=options.top)
        self._weights = torch.full((len(self.members),), 1 / len(self.members))
        self.region: Tensor | None = None
        self._centre: Tensor | None = None
        self._spread: Tensor | None = None

    def restrict(self, region: Tensor) -> None:
        """Heed only these pixels; see `contracts.RegionalScorer`."""
        self.region = region
        for member in self.members.values():
            member.restrict(region)

    def observe(self, images: Tensor, *, seeds: Sequence[int]) -> Tensor:
        """Evidence of all members, one after the other along the second dimension."""
        with self._shared.looking(images):
            members = self.members.values()
            return torch.cat([member.observe(images, seeds=seeds) for member in members], dim=1)

    def fit(self, evidence: Tensor) -> None:
        """Fit each member, then the scale of its map."""
        for member, own in zip(self.members.values(), self._split(evidence), strict=True):
            member.fit(own)
        maps = self._maps(evidence)
        inside = maps.flatten(2) if self.region is None else maps[..., self.region]
        self._centre = inside.mean(dim=(0, 2))[None, :, None, None]
        spread = inside.std(dim=(0, 2), unbiased=False).clamp(min=1e-6)
        self._spread = spread[None, :, None, None]

    def tune(self, good: Tensor, damaged: DamagedParts) -> None:
        """Choose the members' weights and the pooling; see `contracts.TunedScorer`."""
        usual = Pooling(smooth=1, top=self.options.top)
        self._weights = choose_weights(good, damaged.layers, usual, self.region)
        self.pooling = choose_pooling(
            self.merge(good),
            self.merge(damaged.layers),
            default=self.options.top,
            region=self.region,
        )

    def merge(self, layers: Tensor) -> Tensor:
        """The weighted mean of the members' maps, (batch, height, width)."""
        return torch.einsum("bmhw,m->bhw", layers, self._weights.to(layers))

    def combine(self, evidence: Tensor) -> Tensor:
        """The standardised maps of all members, (batch, members, height, width)."""
        if self._centre is None or self._spread is None:
            raise NotCalibrated("this scorer has not been fitted. Run `cdm-inspect calibrate`.")
        maps = self._maps(evidence)
        return (maps - self._centre.to(maps)) / self._spread.to(maps)

    def pool(self, layers: Tensor) -> ScoreBatch:
        """The weighted mean of the standardised maps, and the mean of its highest pixels."""
        return self.pooling(self.merge(layers), self.region)

    def judge(self, evidence: Tensor) -> ScoreBatch:
        """The same, from evidence."""
        return self.pool(self.combine(evidence))

    def score(self, images: Tensor, *, seeds: Sequence[int]) -> ScoreBatch:
        """Scores and maps of a batch; see `contracts.Scorer`."""
        return self.judge(self.observe(images, seeds=seeds))

    def describe(self) -> Mapping[str, object]:
        """The pooling, and each member's weight and what it found."""
        members = {
            name: {"weight": round(float(weight), 4), **member.describe()}
            for (name, member), weight in zip(self.members.items(), self._weights, strict=True)
        }
        return {**self.pooling.describe(), "members": members}

    def state(self) -> Mapping[str, FloatArray]:
        """The fitted statistics of all members and of their scales."""
        if self._centre is None or self._spread is None:
            raise NotCalibrated("this scorer has not been fitted. Run `cdm-inspect calibrate`.")
        own = {"centre": self._centre.cpu().numpy(), "spread": self._spread.cpu().numpy()}
        own |= {"weights": self._weights.numpy(), **self.pooling.state()}
        members = {
            f"{name}.{key}": value
            for name, member in self.members.items()
            for key, value in member.state().items()
        }
        return {**own, **members}

    def restore(self, state: Mapping[str, FloatArray]) -> None:
        """Take back what `state` returned."""
        self._centre = torch.from_numpy(state["centre"])
        self._spread = torch.from_numpy(state["spread"])
        self._weights = torch.from_numpy(state["weights"])
        self.pooling = Pooling.restored(state)
        for name, member in self.members.items():
            prefix = f"{name}."
            member.restore(
                {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            )

    def _split(self, evidence: Tensor) -> tuple[Tensor, ...]:
        sizes = [member.depth for member in self.members.values()]
        parts: tuple[Tensor, ...] = torch.split(evidence, sizes, dim=1)
        return parts

    def _maps(self, evidence: Tensor) -> Tensor:
        """(batch, members, height, width), each in its member's units."""
        members = zip(self.members.values(), self._split(evidence), strict=True)
        return torch.stack([member.combine(own) for member, own in members], dim=1)


def choose_weights(
    good: Tensor, damaged: Tensor, pooling: Pooling, region: Tensor | None
) -> Tensor:
    """Weights of members, (members,), summing to 1, by the AUROC of their weighted mean.

    Each member has one vote; further votes go, one at a time, to the member that gains most, as
    long as one gains. Equal weights stay unless the outcome is better by two standard errors.

    Args:
        good: (count, members, height, width) standardised maps of good parts.
        damaged: the same of synthetic defects.
        pooling: from map to score.
        region: pixels that count; None means all.
    """
    members = good.shape[1]

    def won(votes: Tensor) -> Tensor:
        weights = votes / votes.sum()
        maps = (torch.einsum("bmhw,m->bhw", layers, weights) for layers in (good, damaged))
        return won_pairs(*(pooling(some, region).scores for some in maps))

    votes = torch.ones(members)
    equal = best = won(votes)
    for _ in range(_VOTES * members):
        tries = [votes + vote for vote in torch.eye(members)]
        found = [won(some) for some in tries]
        index = max(range(members), key=lambda index: float(found[index].mean()))
        if float(found[index].mean()) <= float(best.mean()):
            break
        votes, best = tries[index], found[index]
    chosen = votes if is_worth_it(best, equal) else torch.ones(members)
    return chosen / chosen.sum()

"""How far the texture of each place is from that of good parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from cdm_inspect.plugins import Denoiser, Options, ScoreBatch, ScorerOffer, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class KnnOptions(Options):
    """Of the scorer `knn`; in pixels but for `neighbours` and `most`, which count."""

    window: Annotated[int, Field(ge=3)] = 9
    stride: Annotated[int, Field(ge=1)] = 4
    neighbours: Annotated[int, Field(ge=1)] = 3
    most: Annotated[int, Field(ge=10)] = 4000


class KnnScorer:
    """See `contracts.FittedScorer`; `mean`, `spread` and `bank` are what was learnt."""

    def __init__(self, options: KnnOptions) -> None:
        self.options = options

    def score(self, images: Tensor, *, seeds: Sequence[int]) -> ScoreBatch:
        return self.judge(self.observe(images, seeds=seeds))

    def observe(self, images: Tensor, *, seeds: Sequence[int]) -> Tensor:
        """Mean, spread and both gradients around each pixel: (batch, 4 channels, height, width)."""
        import torch
        from torch.nn import functional

        reach = self.options.window // 2

        def around(values: Tensor) -> Tensor:
            padded = functional.pad(values, (reach,) * 4, mode="replicate")
            return functional.avg_pool2d(padded, 2 * reach + 1, stride=1)

        mean = around(images)
        spread = (around(images**2) - mean**2).clamp(min=0).sqrt()
        across = functional.pad(images.diff(dim=3).abs(), (0, 1, 0, 0), mode="replicate")
        down = functional.pad(images.diff(dim=2).abs(), (0, 0, 0, 1), mode="replicate")
        return torch.cat([mean, spread, around(across), around(down)], dim=1)

    def fit(self, evidence: Tensor) -> None:
        """Keep places of good parts, drawn evenly."""
        places = evidence.movedim(1, -1).flatten(0, -2)
        self.mean = places.mean(dim=0)
        self.spread = places.std(dim=0).clamp(min=1e-6)
        every = max(1, len(places) // self.options.most)
        self.bank = ((places - self.mean) / self.spread)[::every].contiguous()

    def judge(self, evidence: Tensor) -> ScoreBatch:
        """The mean distance to the nearest places; the score is that of the worst hundredth."""
        import torch
        from torch.nn import functional

        stride, size = self.options.stride, evidence.shape[-2:]
        coarse = evidence[..., ::stride, ::stride].cpu().movedim(1, -1)
        distances = [
            torch.cdist((part.flatten(0, 1) - self.mean) / self.spread, self.bank)
            .topk(self.options.neighbours, largest=False)
            .values.mean(dim=1)
            .reshape(part.shape[:2])
            for part in coarse  # one by one: the memory that it takes does not grow
        ]
        maps = functional.interpolate(torch.stack(distances)[:, None], size, mode="bilinear")[:, 0]
        worst = maps.flatten(1).topk(max(1, maps[0].numel() // 100), dim=1).values
        return ScoreBatch(scores=worst.mean(dim=1), maps=maps)

    def state(self) -> Mapping[str, Any]:
        return {"mean": self.mean.numpy(), "spread": self.spread.numpy(), "bank": self.bank.numpy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        import torch

        self.mean, self.spread, self.bank = (
            torch.from_numpy(state[name].copy()) for name in ("mean", "spread", "bank")
        )


def build(denoiser: Denoiser, options: KnnOptions) -> KnnScorer:
    return KnnScorer(options)


OFFER = ScorerOffer(
    contract=1,
    name="knn",
    summary="How far the texture of each place is from that of good parts.",
    build=build,
    options=KnnOptions,
)


@hookimpl
def cdm_inspect_scorers() -> Iterator[ScorerOffer]:
    yield OFFER

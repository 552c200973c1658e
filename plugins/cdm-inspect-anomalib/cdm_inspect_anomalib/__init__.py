"""Models of anomalib as scorers, and the consistent diffusion model as a model of anomalib.

In anomalib's own world: `from cdm_inspect_anomalib.module import Cdm`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from cdm_inspect.plugins import Denoiser, Options, Scorer, ScorerOffer, hookimpl

__all__ = ["OFFERS", "AnomalibOptions"]


class AnomalibOptions(Options):
    """Of every scorer here.

    Attributes:
        model: as `anomalib.models.get_model` takes it.
        epochs: that the Engine trains it for.
        batch_size: of training.
        backbone_weights: safetensors file for the model's feature extractor, as timm names its
            tensors; a whole path, or one from where the program is started. None leaves it as the
            seed has made it. Nothing is ever downloaded.
        seed: of weights and training.
    """

    model: str = "padim"
    arguments: dict[str, Any] = Field(default_factory=dict)
    epochs: Annotated[int, Field(ge=1)] = 1
    batch_size: Annotated[int, Field(ge=1)] = 16
    backbone_weights: Path | None = None
    seed: int = 0


class PatchcoreOptions(AnomalibOptions):
    """PatchCore with a backbone and a memory that two processor cores can bear."""

    model: str = "patchcore"
    arguments: dict[str, Any] = Field(
        default_factory=lambda: {"backbone": "resnet18", "coreset_sampling_ratio": 0.01}
    )


class GanomalyOptions(AnomalibOptions):
    """GANomaly, which learns from scratch and so for longer; of a width that a processor can bear.

    anomalib's own width is 64, for 188 million parameters and about half an hour on two cores.
    """

    model: str = "ganomaly"
    arguments: dict[str, Any] = Field(default_factory=lambda: {"n_features": 16})
    epochs: Annotated[int, Field(ge=1)] = 20


def build(denoiser: Denoiser, options: AnomalibOptions) -> Scorer:
    """The denoiser is not used: the model is trained on the line's parts by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries about each other
        from cdm_inspect_anomalib.scorer import AnomalibScorer

    return AnomalibScorer(options)


OFFERS = {
    name: ScorerOffer(contract=1, name=name, summary=summary, build=build, options=options)
    for name, summary, options in (
        ("anomalib", "Any model of anomalib, trained by its Engine.", AnomalibOptions),
        ("padim", "PaDiM: a Gaussian of features at each place (anomalib).", AnomalibOptions),
        ("patchcore", "PatchCore: nearest features of good parts (anomalib).", PatchcoreOptions),
        ("ganomaly", "GANomaly: error of a generator's latent code (anomalib).", GanomalyOptions),
    )
}


@hookimpl
def cdm_inspect_scorers() -> Iterator[ScorerOffer]:
    """Each is a scorer of the same kind with other defaults."""
    yield from OFFERS.values()

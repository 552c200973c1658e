"""A scorer by name, built on a model, with the options that a line gives it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from cdm_inspect.config import LineConfig
from cdm_inspect.encoding import sha256_of
from cdm_inspect.errors import PluginFailed, attribute_to_plugin
from cdm_inspect.model.checkpoint import TrainedModel
from cdm_inspect.model.diffusion import TiledDenoiser
from cdm_inspect.plugins import Registry, Scorer, ScorerOffer, build_options
from cdm_inspect.scoring.line_scorer import LineScorer


def scorer_options(
    registry: Registry, config: LineConfig, name: str
) -> tuple[ScorerOffer, BaseModel]:
    """The offer of a scorer, and its options as the line's configuration gives them.

    Raises:
        PluginUnavailable: if nobody offers it.
        ConfigError: with every mistake in the options.
    """
    offer = registry.scorer(name)
    return offer, build_options(offer, config.scorers.get(name, {}), f"scorers.{name}")


def build_line_scorer(
    registry: Registry,
    config: LineConfig,
    model: TrainedModel,
    name: str,
    *,
    region: npt.NDArray[np.bool_] | None = None,
) -> LineScorer:
    """A scorer with the options and the tiles of a line.

    Args:
        registry: of plugins.
        model: that it asks.
        region: (height, width) where the line looks; None is everywhere.

    Raises:
        PluginUnavailable: if nobody offers it.
        ConfigError: with every mistake in the options.
        PluginFailed: if it cannot be built.
    """
    offer, options = scorer_options(registry, config, name)
    with attribute_to_plugin(PluginFailed, f"scorer {name!r} could not be built: {{error}}."):
        built = offer.build(TiledDenoiser(model.denoiser, config.tile), options)
    if not isinstance(built, Scorer):
        raise PluginFailed(
            f"scorer {name!r}: expected an object with `score`, found {type(built).__name__}."
        )
    return LineScorer(
        built,
        options=options.model_dump(mode="json"),
        model_id=model.id,
        device=model.device,
        region=region,
        level=model.denoiser.centre.flatten().tolist(),
        view={
            "tile": config.tile,
            "region": None if region is None else sha256_of(np.packbits(region).tobytes()),
        },
    )

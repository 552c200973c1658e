"""What the project file may set for the built-in scorers; loads without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cdm_inspect.plugins import Options

Sigma = Annotated[float, Field(gt=0.0, le=80.0)]


class PoolingOptions(Options):
    """How evidence becomes a map, and a map a score.

    Attributes:
        blur: side of the box, in prepared pixels, over which evidence is averaged. Odd.
        top: share of the map's pixels, the highest, whose mean is the image score.
        prior: held-out parts that the statistics of the whole map count for, against those of
            each pixel. Small values trust registration; large ones ignore position.
    """

    blur: Annotated[int, Field(ge=1, le=63)] = 9
    top: Annotated[float, Field(gt=0.0, le=1.0)] = 0.001
    prior: Annotated[float, Field(gt=0.0)] = 10.0


class ResidualOptions(PoolingOptions):
    """Options of `residual`.

    Attributes:
        sigmas: noise levels, in image units where black is -1 and white +1.
        draws: noise draws a level, in antithetic pairs; 0 restores the part itself, without noise.
        standardise: divide by the posterior variance that the network has learnt.
        layout: weight of the distance from the mean good part; 0 leaves it out.
    """

    sigmas: Annotated[tuple[Sigma, ...], Field(min_length=1)] = (0.15, 0.25, 0.4)
    draws: Annotated[int, Field(ge=0, le=64)] = 2
    standardise: bool = True
    layout: Annotated[float, Field(ge=0.0)] = 0.75


class ScoreNormOptions(PoolingOptions):
    """Options of `score-norm`.

    Attributes:
        sigmas: noise levels at which the norm of the score is taken.
        components: of the mixture that describes good parts, at most.
        scope: whether the score is that of the oddest places, "pixel", or of the norms over the
            whole "image"; the map is that of the pixels either way.
    """

    sigmas: Annotated[tuple[Sigma, ...], Field(min_length=1)] = (0.03, 0.06, 0.12, 0.25, 0.5, 1.0)
    components: Annotated[int, Field(ge=1, le=16)] = 1
    scope: Literal["pixel", "image"] = "pixel"


class BiasOptions(PoolingOptions):
    """Options of `bias`.

    Attributes:
        blur: of the statistics alone, which is what `boxes` leave to it.
        sigmas: noise levels.
        boxes: sides of the boxes, in prepared pixels, over which residuals are averaged. Odd.
    """

    sigmas: Annotated[tuple[Sigma, ...], Field(min_length=1)] = (0.12, 0.25, 0.5, 1.0)
    boxes: Annotated[tuple[Annotated[int, Field(ge=1, le=255)], ...], Field(min_length=1)] = (
        3,
        9,
        27,
    )


class FeaturesOptions(PoolingOptions):
    """Options of `features`.

    Attributes:
        blur: as everywhere, but in pixels of a quarter of the image's size.
        sigmas: noise levels that the network is given; the parts themselves stay without noise.
        dimensions: of the random projection of each resolution's features.
        density: of what good parts have: one "gaussian", or the nearest of `memory` "neighbours".
        memory: vectors that "neighbours" keeps.
    """

    blur: Annotated[int, Field(ge=1, le=63)] = 3
    sigmas: Annotated[tuple[Sigma, ...], Field(min_length=1)] = (0.15,)
    dimensions: Annotated[int, Field(ge=1, le=256)] = 24
    density: Literal["gaussian", "neighbours"] = "gaussian"
    memory: Annotated[int, Field(ge=2, le=20_000)] = 1000


class PathOptions(PoolingOptions):
    """Options of `path`.

    Attributes:
        lowest: noise level at which the part is taken to be.
        highest: noise level up to which it is followed.
        steps: of the inversion, one network evaluation each.
    """

    lowest: Sigma = 0.05
    highest: Sigma = 2.0
    steps: Annotated[int, Field(ge=2, le=100)] = 8

    @model_validator(mode="after")
    def _path_leads_upwards(self) -> PathOptions:
        if not self.lowest < self.highest:
            raise ValueError("`lowest` must lie below `highest`")
        return self


class MartingaleOptions(PoolingOptions):
    """Options of `martingale`.

    Attributes:
        sigmas: noise levels at which the reverse process starts.
        fall: share of the noise level that the one step takes away.
        paths: independent steps a level, one evaluation each after the first.
    """

    sigmas: Annotated[tuple[Sigma, ...], Field(min_length=1)] = (0.1, 0.2, 0.4)
    fall: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    paths: Annotated[int, Field(ge=2, le=64)] = 4


class InpaintingOptions(PoolingOptions):
    """Options of `inpainting`.

    Attributes:
        cells: sides of the hidden cells, in prepared pixels.
        sigma: noise that hides them.
    """

    cells: Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1)] = (4, 8)
    sigma: Sigma = 2.0


class ReconstructionOptions(PoolingOptions):
    """Options of `reconstruction`.

    Attributes:
        starts: noise levels from which the part is restored.
        steps: of the solver, one network evaluation each.
        draws: noise draws a start.
        distances: between the part and its restoration, each a level of its own: "l1", "l2",
            "gradient", "ssim" at several scales, "features" of the denoiser itself, and "backbone".
        backbone: network of that last distance, as timm names it.
        weights: .safetensors file with its weights, which you bring; nothing is ever downloaded. A
            path is taken from where the command runs.
    """

    starts: Annotated[tuple[Sigma, ...], Field(min_length=1)] = (0.5, 1.0)
    steps: Annotated[int, Field(ge=1, le=100)] = 5
    draws: Annotated[int, Field(ge=1, le=64)] = 1
    distances: Annotated[
        tuple[Literal["l1", "l2", "gradient", "ssim", "features", "backbone"], ...],
        Field(min_length=1),
    ] = ("l2",)
    backbone: str | None = None
    weights: str | None = None

    @model_validator(mode="after")
    def _backbone_is_named_where_it_is_used(self) -> ReconstructionOptions:
        needed = "backbone" in self.distances
        if any((value is not None) != needed for value in (self.backbone, self.weights)):
            raise ValueError('the distance "backbone" needs `backbone` and `weights`, and they it')
        return self


class FusedResidualOptions(ResidualOptions):
    """Of the member `residual`: without noise, so that it shares its evaluations."""

    sigmas: Annotated[tuple[Sigma, ...], Field(min_length=1)] = (0.12, 0.5)
    draws: Annotated[int, Field(ge=0, le=64)] = 0


class FusedScoreNormOptions(ScoreNormOptions):
    """Of the member `score-norm`."""

    sigmas: Annotated[tuple[Sigma, ...], Field(min_length=1)] = (0.12, 0.5)
    scope: Literal["pixel"] = "pixel"


class FusedBiasOptions(BiasOptions):
    """Of the member `bias`."""

    sigmas: Annotated[tuple[Sigma, ...], Field(min_length=1)] = (0.12, 0.5)


class FusedInpaintingOptions(InpaintingOptions):
    """Of the member `inpainting`."""

    cells: Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1)] = (8,)


class FusedOptions(Options):
    """Options of `fused`: those of its members, which see two noise levels and one cell size.

    Attributes:
        residual: of the member of this name.
        score_norm: the same for `score-norm`.
        bias: the same for `bias`.
        inpainting: the same for `inpainting`.
    """

    residual: FusedResidualOptions = FusedResidualOptions()
    score_norm: FusedScoreNormOptions = FusedScoreNormOptions()
    bias: FusedBiasOptions = FusedBiasOptions()
    inpainting: FusedInpaintingOptions = FusedInpaintingOptions()

"""What is built in, registered as any other plugin would; nothing heavy loads until it is built."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from cdm_inspect.inspection.exported.onnx_options import OnnxOptions
from cdm_inspect.plugins import hookimpl
from cdm_inspect.plugins.contracts import (
    DatasetPart,
    Denoiser,
    Exporter,
    ExporterOffer,
    Options,
    ReaderOffer,
    Scorer,
    ScorerOffer,
    StoreOffer,
    StoreUpkeep,
    VerdictStore,
)
from cdm_inspect.scoring.options import (
    BiasOptions,
    FeaturesOptions,
    FusedOptions,
    InpaintingOptions,
    MartingaleOptions,
    PathOptions,
    ReconstructionOptions,
    ResidualOptions,
    ScoreNormOptions,
)


def _build_residual(denoiser: Denoiser, options: ResidualOptions) -> Scorer:
    from cdm_inspect.scoring.residual import ResidualScorer

    return ResidualScorer(denoiser, options)


def _build_score_norm(denoiser: Denoiser, options: ScoreNormOptions) -> Scorer:
    from cdm_inspect.scoring.score_norm import ScoreNormScorer

    return ScoreNormScorer(denoiser, options)


def _build_bias(denoiser: Denoiser, options: BiasOptions) -> Scorer:
    from cdm_inspect.scoring.bias import BiasScorer

    return BiasScorer(denoiser, options)


def _build_reconstruction(denoiser: Denoiser, options: ReconstructionOptions) -> Scorer:
    from cdm_inspect.scoring.reconstruction import ReconstructionScorer

    return ReconstructionScorer(denoiser, options)


def _build_inpainting(denoiser: Denoiser, options: InpaintingOptions) -> Scorer:
    from cdm_inspect.scoring.inpainting import InpaintingScorer

    return InpaintingScorer(denoiser, options)


def _build_features(denoiser: Denoiser, options: FeaturesOptions) -> Scorer:
    from cdm_inspect.scoring.features import FeaturesScorer

    return FeaturesScorer(denoiser, options)


def _build_path(denoiser: Denoiser, options: PathOptions) -> Scorer:
    from cdm_inspect.scoring.path import PathScorer

    return PathScorer(denoiser, options)


def _build_martingale(denoiser: Denoiser, options: MartingaleOptions) -> Scorer:
    from cdm_inspect.scoring.martingale import MartingaleScorer

    return MartingaleScorer(denoiser, options)


def _build_fused(denoiser: Denoiser, options: FusedOptions) -> Scorer:
    from cdm_inspect.scoring.fused import FusedScorer

    return FusedScorer(denoiser, options)


def _build_onnx(options: OnnxOptions) -> Exporter:
    from cdm_inspect.inspection.exported.onnx_exporter import OnnxExporter

    return OnnxExporter(options)


@hookimpl
def cdm_inspect_exporters() -> Iterable[ExporterOffer]:
    """ONNX."""
    yield ExporterOffer(
        contract=1,
        name="onnx",
        summary="ONNX for ONNX Runtime: float32, half precision or 8 bits; dynamic batch and size.",
        build=_build_onnx,
        options=OnnxOptions,
        set_by_station=frozenset({"provider", "threads"}),
    )


class SqlOptions(Options):
    """Of the built-in store; all come from the `[store]` table."""

    url: str
    images: str
    anchor: str = "audit-anchors.jsonl"


def _open_sql(options: SqlOptions, root: Path) -> VerdictStore:
    from cdm_inspect.storage import SqlStore

    return SqlStore(options.url, options.images, root=root, anchor=options.anchor)


def _keep_sql_in_order(options: SqlOptions, root: Path) -> StoreUpkeep:
    from cdm_inspect.storage import SqlUpkeep

    return SqlUpkeep(options.url, options.images, root=root, anchor=options.anchor)


@hookimpl
def cdm_inspect_scorers() -> Iterable[ScorerOffer]:
    """The built-in scorers."""
    yield ScorerOffer(
        contract=1,
        name="residual",
        summary="One-step residual over the learnt posterior variance, at several noise levels.",
        build=_build_residual,
        options=ResidualOptions,
        is_traceable=True,
    )
    yield ScorerOffer(
        contract=1,
        name="score-norm",
        summary="Norm of the score across noise levels, against its law on good parts.",
        build=_build_score_norm,
        options=ScoreNormOptions,
        is_traceable=True,
    )
    yield ScorerOffer(
        contract=1,
        name="bias",
        summary="What is wrong in one direction over whole neighbourhoods of several sizes.",
        build=_build_bias,
        options=BiasOptions,
        is_traceable=True,
    )
    yield ScorerOffer(
        contract=1,
        name="reconstruction",
        summary="Distance to the part restored from partial noise in a few steps.",
        build=_build_reconstruction,
        options=ReconstructionOptions,
        is_traceable=True,
    )
    yield ScorerOffer(
        contract=1,
        name="inpainting",
        summary="Hidden cells against what their surroundings lead one to expect.",
        build=_build_inpainting,
        options=InpaintingOptions,
        is_traceable=True,
        needs_cells=True,
    )
    yield ScorerOffer(
        contract=1,
        name="features",
        summary="How usual the network's own features are at each place; nothing pretrained.",
        build=_build_features,
        options=FeaturesOptions,
        is_traceable=True,
    )
    yield ScorerOffer(
        contract=1,
        name="path",
        summary="How a part travels towards noise along the probability flow.",
        build=_build_path,
        options=PathOptions,
        is_traceable=True,
    )
    yield ScorerOffer(
        contract=1,
        name="martingale",
        summary="Experimental: how far the model drifts from its own prediction.",
        build=_build_martingale,
        options=MartingaleOptions,
        is_traceable=True,
    )
    yield ScorerOffer(
        contract=1,
        name="fused",
        summary="Residual, score norms, bias and, where trained for, hidden cells on one scale.",
        build=_build_fused,
        options=FusedOptions,
        is_traceable=True,
    )


@hookimpl
def cdm_inspect_stores() -> Iterable[StoreOffer]:
    """The SQL store."""
    yield StoreOffer(
        contract=1,
        name="sql",
        summary="SQLite (embedded) or PostgreSQL; images as files by hash, in a folder or on S3.",
        open=_open_sql,
        upkeep=_keep_sql_in_order,
        options=SqlOptions,
    )


# On the command line words are parted by commas.
Words = Annotated[
    tuple[str, ...], BeforeValidator(lambda v: v.split(",") if isinstance(v, str) else v)
]


class TableOptions(Options):
    """Of the reader `table`.

    Attributes:
        good: labels of good parts, in any case.
        training: entries of the column `split` that say that a part is to learn from; without that
            column all good parts are.
        only: entry of the column `object`, where a table lists several products.
    """

    good: Words = ("good", "normal", "ok")
    training: Words = ("train", "training")
    only: str | None = None


def _read_table(table: Path, options: TableOptions) -> Iterable[DatasetPart]:
    from cdm_inspect.images.table import read_table

    return read_table(table, good=options.good, training=options.training, only=options.only)


@hookimpl
def cdm_inspect_readers() -> Iterable[ReaderOffer]:
    """Collections that a CSV file lists."""
    yield ReaderOffer(
        contract=1,
        name="table",
        summary="A CSV file with the columns image, label, mask, split, object (VisA's layout).",
        read=_read_table,
        options=TableOptions,
    )


@hookimpl(trylast=True)
def cdm_inspect_line_file(line: str, root: Path) -> Path | None:
    """`lines/NAME.toml`, where it exists."""
    path = root / "lines" / f"{line}.toml"
    return path if path.is_file() else None

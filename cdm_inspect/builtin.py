"""What is built in, registered as any other plugin would; nothing heavy loads until it is built."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from cdm_inspect.plugins import (
    ExporterOffer,
    Options,
    ReaderOffer,
    ScorerOffer,
    StoreOffer,
    hookimpl,
)


@dataclass(frozen=True)
class Lazy:
    """Builds an object of a class whose module is loaded when it is called.

    Attributes:
        target: module below `cdm_inspect` and class or function, as "scoring.bias:BiasScorer".
    """

    target: str

    def __call__(self, *arguments: Any, **facts: Any) -> Any:
        """What the target makes of the arguments."""
        module, _, name = self.target.partition(":")
        return getattr(import_module(f"cdm_inspect.{module}"), name)(*arguments, **facts)


@hookimpl
def cdm_inspect_exporters() -> Iterable[ExporterOffer]:
    """ONNX."""
    from cdm_inspect.inspection.exported.onnx_options import OnnxOptions

    yield ExporterOffer(
        contract=1,
        name="onnx",
        summary="ONNX for ONNX Runtime: float32, half precision or 8 bits; dynamic batch and size.",
        build=Lazy("inspection.exported.onnx_exporter:OnnxExporter"),
        options=OnnxOptions,
        set_by_station=frozenset({"provider", "threads"}),
    )


class SqlOptions(Options):
    """Of the built-in store; all come from the `[store]` table."""

    url: str
    images: str
    anchor: str = "audit-anchors.jsonl"


class _Sql(Lazy):
    def __call__(self, options: SqlOptions, root: Path) -> Any:
        url, images, anchor = options.url, options.images, options.anchor
        return super().__call__(url, images, root=root, anchor=anchor)


# Each is a module of `scoring` with a class of its name, as are its options.
_SCORERS = {
    "residual": "One-step residual over the learnt posterior variance, at several noise levels.",
    "score-norm": "Norm of the score across noise levels, against its law on good parts.",
    "bias": "What is wrong in one direction over whole neighbourhoods of several sizes.",
    "reconstruction": "Distance to the part restored from partial noise in a few steps.",
    "inpainting": "Hidden cells against what their surroundings lead one to expect.",
    "features": "How usual the network's own features are at each place; nothing pretrained.",
    "path": "How a part travels towards noise along the probability flow.",
    "martingale": "Experimental: how far the model drifts from its own prediction.",
    "fused": "Residual, score norms, bias and, where trained for, hidden cells on one scale.",
}


@hookimpl
def cdm_inspect_scorers() -> Iterable[ScorerOffer]:
    """The built-in scorers."""
    from cdm_inspect.scoring import options

    for name, summary in _SCORERS.items():
        module, kind = name.replace("-", "_"), name.title().replace("-", "")
        yield ScorerOffer(
            contract=1,
            name=name,
            summary=summary,
            build=Lazy(f"scoring.{module}:{kind}Scorer"),
            options=getattr(options, f"{kind}Options"),
            is_traceable=True,
            needs_cells=name == "inpainting",
        )


@hookimpl
def cdm_inspect_stores() -> Iterable[StoreOffer]:
    """The SQL store."""
    yield StoreOffer(
        contract=1,
        name="sql",
        summary="SQLite (embedded) or PostgreSQL; images as files by hash, in a folder or on S3.",
        open=_Sql("storage:SqlStore"),
        upkeep=_Sql("storage:SqlUpkeep"),
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


def _read_table(table: Path, options: TableOptions) -> Any:
    read = Lazy("images.table:read_table")
    return read(table, good=options.good, training=options.training, only=options.only)


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

"""How what scores parts gets to another runtime; torch is named for type checkers only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel

from cdm_inspect.contracts.options import Options
from cdm_inspect.records import FloatArray

if TYPE_CHECKING:
    from torch.nn import Module


class ExportedGraph(Protocol):
    """A graph in its other runtime."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What was written into the files beside the graph."""
        ...

    def __call__(self, images: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Scores (batch,) and maps (batch, height, width), float32.

        Args:
            images: (batch, channels, height, width) float32; any batch, height and width as in the
                example.
        """
        ...


class Exporter(Protocol):
    """Writes a graph for another runtime, and can open there what it wrote."""

    def export(
        self, graph: Module, example: FloatArray, folder: Path, *, metadata: Mapping[str, str]
    ) -> Sequence[Path]:
        """Write the graph; the host then runs both and refuses what does not agree.

        Args:
            graph: takes images as `ExportedGraph` does and returns a tuple of scores and maps; no
                control flow, no randomness, in evaluation mode.
            example: (1, channels, height, width) float32.
            folder: exists; everything belongs into it.
            metadata: to be kept inside the main file.

        Returns:
            The files written, the main one first.
        """
        ...

    def open(self, files: Sequence[Path]) -> ExportedGraph:
        """Open what `export` wrote."""
        ...


@dataclass(frozen=True, kw_only=True)
class ExporterOffer:
    """An exporter, by name; the fields are those of `ScorerOffer`.

    Attributes:
        tolerance: largest difference of a score or a map value, relative to the largest in the
            map, that its runtime may make.
    """

    name: str
    summary: str
    build: Callable[[Any], Exporter]
    options: type[BaseModel] = Options
    tolerance: float = 1e-3
    contract: int

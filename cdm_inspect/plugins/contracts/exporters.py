"""How what scores parts gets to another runtime; torch is named for type checkers only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydantic import BaseModel

from cdm_inspect.plugins.contracts.options import Options

if TYPE_CHECKING:
    from torch.nn import Module

    from cdm_inspect.records import FloatArray, PixelArray


class GraphOutputs(NamedTuple):
    """What an exported graph says of a batch, all float32; the names are those of its outputs.

    Attributes:
        score: (batch,); higher is more abnormal.
        p_value: (batch,); share of held-out good parts that look at least as odd, in (0, 1].
        heatmap: (batch, height, width) of prepared images, in calibrated units.
        prepared: (batch, channels, height, width); what the network was shown.
        restored: (batch, 1 or 3, height, width); what it makes of that, for people to look at. None
            from a graph without this output, as that of a scorer that restores nothing.
    """

    score: FloatArray
    p_value: FloatArray
    heatmap: FloatArray
    prepared: FloatArray
    restored: FloatArray | None = None


class ExportedGraph(Protocol):
    """A graph in its other runtime."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What was written into the files beside the graph."""
        ...

    def __call__(self, images: PixelArray) -> GraphOutputs:
        """Score photographs.

        Args:
            images: (batch, height, width, channels) of the example's type and channels; any batch,
                and any height and width where the graph was exported for all.
        """
        ...


class Exporter(Protocol):
    """Writes a graph for another runtime, and can open there what it wrote."""

    @property
    def tolerance(self) -> float:
        """Largest difference of a score or a map value, relative to the largest in the maps.

        By how much the runtime, with these options, may differ; verdicts never may.
        """
        ...

    def export(
        self,
        graph: Module,
        examples: Sequence[PixelArray],
        folder: Path,
        *,
        any_size: bool,
        metadata: Mapping[str, str],
    ) -> Sequence[Path]:
        """Write the graph; the host then runs both and refuses what does not agree.

        Args:
            graph: takes images as `ExportedGraph` does and returns a tuple, the outputs in the
                order of `GraphOutputs`, with or without the last; no control flow, no randomness,
                in evaluation mode.
            examples: photographs, each (1, height, width, channels), of one type and number of
                channels: good parts, then damaged ones; a runtime that rounds can learn from them
                what range to expect.
            folder: exists; everything belongs into it.
            any_size: whether the graph must take photographs of any height and width, or only of
                those of the first example.
            metadata: to be kept inside the main file.

        Returns:
            The files written, the main one first.
        """
        ...

    def open(self, files: Sequence[Path]) -> ExportedGraph:
        """Open what `export` wrote; where torch is not installed, too."""
        ...


@dataclass(frozen=True, kw_only=True)
class ExporterOffer:
    """An exporter, by name; the other fields are those of `ScorerOffer`.

    Attributes:
        set_by_station: names of options that say where a graph runs, and may be set anew wherever
            it is opened; all others are fixed when it is exported.
    """

    name: str
    summary: str
    build: Callable[[Any], Exporter]
    options: type[BaseModel] = Options
    set_by_station: frozenset[str] = frozenset()
    contract: int

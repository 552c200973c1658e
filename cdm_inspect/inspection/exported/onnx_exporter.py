"""The exporter `onnx`: torch's exporter in, one checked file out, ONNX Runtime to run it."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cdm_inspect.errors import ExportError, PluginUnavailable
from cdm_inspect.files import write_durably
from cdm_inspect.inspection.exported.onnx_graph import INPUT, OnnxGraph
from cdm_inspect.inspection.exported.onnx_options import OnnxOptions
from cdm_inspect.plugins import GraphOutputs
from cdm_inspect.records import PixelArray

if TYPE_CHECKING:
    from torch.nn import Module

# By how much each kind of number may differ; verdicts may never. Half precision has 11 bits, and
# eight bits are a different arithmetic, in which scores agree by their order.
_TOLERANCES = {"fp32": 1e-4, "fp16": 2e-2, "int8": 0.2}
# Photographs of more pixels than this would make a graph no runtime could address.
_LONGEST_SIDE = 65_535
_SHORTEST_SIDE = 8


class OnnxExporter:
    """See `contracts.Exporter`."""

    def __init__(self, options: OnnxOptions) -> None:
        self.options = options

    @property
    def tolerance(self) -> float:
        """By precision."""
        return _TOLERANCES[self.options.precision]

    def open(self, files: Sequence[Path]) -> OnnxGraph:
        """Open the one file there is."""
        try:
            data = files[0].read_bytes()
        except OSError as error:
            raise ExportError(f"{files[0]} cannot be read: {error.strerror or error}.") from error
        return OnnxGraph(
            data,
            name=str(files[0]),
            provider=self.options.provider,
            threads=self.options.threads,
        )

    def export(
        self,
        graph: Module,
        examples: Sequence[PixelArray],
        folder: Path,
        *,
        any_size: bool,
        metadata: Mapping[str, str],
    ) -> Sequence[Path]:
        """Trace, translate, round where that is asked for, check, and write.

        Raises:
            PluginUnavailable: if a package for it is missing.
            ExportError: if the graph cannot be traced or translated.
        """
        try:
            import onnx
            import onnxscript  # noqa: F401 - torch's exporter needs it, and says so only in the end
        except ImportError as error:
            raise PluginUnavailable(
                f"{error.name} is not installed. Run: pip install 'cdm-inspect[train]'."
            ) from error
        model = self._translate(graph, examples[0], any_size)
        if self.options.precision == "fp16":
            from cdm_inspect.inspection.exported.onnx_precision import halved

            model = halved(model)
        elif self.options.precision == "int8":
            from cdm_inspect.inspection.exported.onnx_precision import quantised

            model = quantised(model, examples, folder)
        del model.metadata_props[:]
        for name, value in metadata.items():
            model.metadata_props.add(key=name, value=value)
        model.producer_name = "cdm-inspect"
        try:
            onnx.checker.check_model(model, full_check=True)
        except onnx.checker.ValidationError as error:
            raise ExportError(f"onnx.checker refuses the graph: {error}") from error
        file = folder / "model.onnx"
        write_durably(file, model.SerializeToString())
        return [file]

    def _translate(self, graph: Module, example: PixelArray, any_size: bool) -> Any:
        import torch

        # Of a batch of one, torch would take the size for one that never changes.
        images = torch.from_numpy(np.concatenate([example, example]))
        sizes: dict[int, Any] = {0: torch.export.Dim("batch")}
        if any_size:
            shortest, longest = _SHORTEST_SIDE, _LONGEST_SIDE
            sizes[1] = torch.export.Dim("height", min=shortest, max=longest)
            sizes[2] = torch.export.Dim("width", min=shortest, max=longest)
        try:
            with torch.no_grad(), _quiet():
                program = torch.export.export(graph, (images,), dynamic_shapes=(sizes,))
                count = len(program.graph_signature.user_outputs)
                translated = torch.onnx.export(
                    program,
                    dynamo=True,
                    opset_version=self.options.opset,
                    input_names=[INPUT],
                    output_names=list(GraphOutputs._fields[:count]),
                    external_data=False,
                    verbose=False,
                )
        # Whatever stops the compiler is a property of the scorer, and ends this export.
        except Exception as error:
            raise ExportError(
                f"the scorer cannot be traced: {type(error).__name__}: {error}\nOnly what is made "
                "of tensor operations alone can be exported; see the scorer's documentation."
            ) from error
        assert translated is not None
        return translated.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the compiler tells of its passes."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

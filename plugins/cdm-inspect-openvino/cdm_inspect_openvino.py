"""What scores parts as OpenVINO IR, and OpenVINO as its runtime."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cdm_inspect.contracts import ExporterOffer, Options
from cdm_inspect.errors import ExportError
from cdm_inspect.hooks import hookimpl
from cdm_inspect.records import FloatArray

if TYPE_CHECKING:
    from torch.nn import Module

_METADATA = "cdm_inspect"


class OpenVinoOptions(Options):
    """Of the exporter `openvino`.

    Attributes:
        device: of OpenVINO that runs the graph.
    """

    device: str = "CPU"


class OpenVinoGraph:
    """A compiled graph; see `contracts.ExportedGraph`."""

    def __init__(self, file: Path, device: str) -> None:
        import openvino
        from openvino import properties

        core = openvino.Core()
        model = core.read_model(file)
        try:
            # The IR is XML and cannot be trusted with every letter.
            packed = model.get_rt_info(_METADATA).astype(str)
            self.metadata: Mapping[str, str] = json.loads(base64.b64decode(packed))
        except (RuntimeError, ValueError) as error:
            raise ExportError(
                f"expected a graph that cdm-inspect has exported in {file}, found one without its "
                "metadata. Export it again."
            ) from error
        # Otherwise the device may choose half precision, and scores would not agree.
        exact = {properties.hint.inference_precision: openvino.Type.f32}
        self._compiled = core.compile_model(model, device, exact)

    def __call__(self, images: FloatArray) -> tuple[FloatArray, FloatArray]:
        found = self._compiled(np.ascontiguousarray(images, np.float32))
        scores, maps = (np.asarray(found[port], np.float32) for port in self._compiled.outputs)
        return scores.copy(), maps.copy()


class OpenVinoExporter:
    """See `contracts.Exporter`."""

    def __init__(self, options: OpenVinoOptions) -> None:
        self.options = options

    def export(
        self, graph: Module, example: FloatArray, folder: Path, *, metadata: Mapping[str, str]
    ) -> Sequence[Path]:
        import openvino
        import torch

        # A batch of one would be taken for a size that never changes.
        batch = torch.from_numpy(np.concatenate([example, example]))
        sizes = ({0: torch.export.Dim("batch")},)
        with torch.no_grad():
            program = torch.export.export(graph, (batch,), dynamic_shapes=sizes)
            model = openvino.convert_model(program)
        packed = base64.b64encode(json.dumps(dict(metadata)).encode()).decode()
        model.set_rt_info(packed, _METADATA)
        file = folder / "graph.xml"
        openvino.save_model(model, file, compress_to_fp16=False)
        return file, file.with_suffix(".bin")

    def open(self, files: Sequence[Path]) -> OpenVinoGraph:
        return OpenVinoGraph(files[0], self.options.device)


def build(options: Any) -> OpenVinoExporter:
    return OpenVinoExporter(options)


OFFER = ExporterOffer(
    contract=1,
    name="openvino",
    summary="OpenVINO IR, float32, run by OpenVINO.",
    build=build,
    options=OpenVinoOptions,
    tolerance=1e-4,
)


@hookimpl
def cdm_inspect_exporters() -> Iterator[ExporterOffer]:
    yield OFFER

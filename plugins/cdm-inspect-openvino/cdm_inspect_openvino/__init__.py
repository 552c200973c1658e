"""What scores parts as OpenVINO IR, and OpenVINO as its runtime."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cdm_inspect.errors import ExportError
from cdm_inspect.plugins import ExporterOffer, GraphOutputs, Options, hookimpl
from cdm_inspect.records import PixelArray

if TYPE_CHECKING:
    from torch.nn import Module

_METADATA = "cdm_inspect"
# bfloat16 has eight bits: scores agree by their order, not by their digits.
_TOLERANCES = {"fp32": 1e-4, "bf16": 0.3}


class OpenVinoOptions(Options):
    """Of the exporter `openvino`.

    Attributes:
        precision: that the device computes in: "fp32", or "bf16", about twice as fast on
            processors that have it.
        device: of OpenVINO that runs the graph.
        threads: that it may use; 0 leaves that to OpenVINO.
    """

    precision: Literal["fp32", "bf16"] = "fp32"
    device: str = "CPU"
    threads: int = 0


class OpenVinoGraph:
    """A compiled graph; see `contracts.ExportedGraph`."""

    def __init__(self, file: Path, options: OpenVinoOptions) -> None:
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
        # Otherwise the device may choose half precision by itself, and scores would not agree.
        wanted = {"fp32": openvino.Type.f32, "bf16": openvino.Type.bf16}[options.precision]
        hints: dict[Any, Any] = {
            properties.hint.inference_precision: wanted,
            properties.hint.performance_mode: properties.hint.PerformanceMode.LATENCY,
        }
        if options.threads:
            hints[properties.inference_num_threads] = options.threads
        self._compiled = core.compile_model(model, options.device, hints)

    def __call__(self, images: PixelArray) -> GraphOutputs:
        found = self._compiled(np.ascontiguousarray(images, _taken(images)))
        # Without the last where the scorer restores nothing, or an older version has exported.
        return GraphOutputs(*(np.array(found[port], np.float32) for port in self._compiled.outputs))


class OpenVinoExporter:
    """See `contracts.Exporter`."""

    def __init__(self, options: OpenVinoOptions) -> None:
        self.options = options

    @property
    def tolerance(self) -> float:
        return _TOLERANCES[self.options.precision]

    def export(
        self,
        graph: Module,
        examples: Sequence[PixelArray],
        folder: Path,
        *,
        any_size: bool,
        metadata: Mapping[str, str],
    ) -> Sequence[Path]:
        import openvino
        import torch

        if self.options.precision == "bf16" and examples[0].dtype == np.uint16:
            raise ExportError(
                "bfloat16 has eight bits, and photographs of more would lose theirs. Export them "
                "with --precision fp32."
            )
        # A batch of one would be taken for a size that never changes.
        twice = np.concatenate([examples[0], examples[0]])
        images = torch.from_numpy(twice.astype(_taken(twice)))
        sizes: dict[int, Any] = {0: torch.export.Dim("batch")}
        if any_size:
            sizes[1] = torch.export.Dim("height", min=8, max=65_535)
            sizes[2] = torch.export.Dim("width", min=8, max=65_535)
        with torch.no_grad():
            program = torch.export.export(graph, (images,), dynamic_shapes=(sizes,))
            model = openvino.convert_model(program)
        packed = base64.b64encode(json.dumps(dict(metadata)).encode()).decode()
        model.set_rt_info(packed, _METADATA)
        file = folder / "graph.xml"
        openvino.save_model(model, file, compress_to_fp16=False)
        return file, file.with_suffix(".bin")

    def open(self, files: Sequence[Path]) -> OpenVinoGraph:
        return OpenVinoGraph(files[0], self.options)


def _taken(images: PixelArray) -> Any:
    """The type that the graph takes; OpenVINO does not convert graphs of 16 bits without sign."""
    return np.int32 if images.dtype == np.uint16 else images.dtype


def build(options: Any) -> OpenVinoExporter:
    return OpenVinoExporter(options)


OFFER = ExporterOffer(
    contract=1,
    name="openvino",
    summary="OpenVINO IR, run by OpenVINO in float32 or bfloat16.",
    build=build,
    options=OpenVinoOptions,
    set_by_station=frozenset({"device", "threads"}),
)


@hookimpl
def cdm_inspect_exporters() -> Iterator[ExporterOffer]:
    yield OFFER

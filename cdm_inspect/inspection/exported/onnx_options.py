"""What the project file may set for the exporter `onnx`; loads in an instant."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cdm_inspect.plugins import Options

CPU = "CPUExecutionProvider"


class OnnxOptions(Options):
    """Of the exporter `onnx`.

    Attributes:
        precision: of the network: "fp32"; "fp16" for GPUs; "int8", quantised by what the line's
            parts make of it, for CPUs.
        opset: of ONNX.
        provider: of ONNX Runtime that runs the graph, by its full name; never another instead.
        threads: that it may use; 0 means one a core.
    """

    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    opset: Annotated[int, Field(ge=18, le=24)] = 20
    provider: str = CPU
    threads: Annotated[int, Field(ge=0, le=1024)] = 0

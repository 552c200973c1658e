"""Rounded variants of a graph: half precision for GPUs, eight bits for CPUs.

Only the network's convolutions are rounded. What surrounds them, preconditioning, statistics,
fusion and pooling, stays in float32: there a rounding would be a difference between two large
numbers.

Source of the 8-bit arithmetic: Jacob et al. 2018, arXiv:1712.05877 (affine quantisation), as ONNX
Runtime does it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cdm_inspect.errors import PluginUnavailable
from cdm_inspect.inspection.exported.onnx_graph import INPUT
from cdm_inspect.records import PixelArray

_NETWORK = ("Conv", "Gemm")
# Convolutions with fewer channels on either side stay whole in 8 bits: the first, which sees the
# image, and the last, whose output is what scores are made of. They cost next to nothing.
_FEW_CHANNELS = 16


def halved(model: Any) -> Any:
    """A graph whose convolutions work in half precision, on half as many bytes of weights.

    Args:
        model: an ONNX ModelProto in float32; changed.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[Any] = []
    halves: dict[str, str] = {}

    def half_of(name: str) -> str:
        """The name of a value in half precision, which is made where it is first asked for."""
        if name in halves:
            return halves[name]
        halves[name] = f"{name}_half"
        if name in weights:
            values = numpy_helper.to_array(weights[name]).astype(np.float16)
            graph.initializer.append(numpy_helper.from_array(values, halves[name]))
        else:
            nodes.append(helper.make_node("Cast", [name], [halves[name]], to=TensorProto.FLOAT16))
        return halves[name]

    for node in graph.node:
        if node.op_type in _NETWORK:
            node.input[:] = [half_of(name) if name else name for name in node.input]
            (result,) = node.output
            node.output[:] = [f"{result}_rounded"]
            back = helper.make_node("Cast", list(node.output), [result], to=TensorProto.FLOAT)
            nodes += [node, back]
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return model


def quantised(model: Any, examples: Sequence[PixelArray], folder: Path) -> Any:
    """A graph whose convolutions work on 8-bit numbers, with ranges that parts have.

    Args:
        model: an ONNX ModelProto in float32.
        examples: photographs, good and odd, each (1, height, width, channels).
        folder: that temporary files may be written beside.

    Raises:
        PluginUnavailable: if ONNX Runtime is missing.
    """
    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise PluginUnavailable(
            "8 bits need ONNX Runtime. Run: pip install 'cdm-inspect[station]'."
        ) from error
    import onnx

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        """The photographs, one by one."""

        def __init__(self) -> None:
            self._left: Iterator[PixelArray] = iter(examples)

        def get_next(self) -> dict[str, Any] | None:
            image = next(self._left, None)
            return None if image is None else {INPUT: np.ascontiguousarray(image)}

    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".int8.") as temporary:
        source, target = Path(temporary) / "source.onnx", Path(temporary) / "target.onnx"
        onnx.save(model, source)
        prepared = Path(temporary) / "prepared.onnx"
        quantization.quant_pre_process(source, prepared, skip_symbolic_shape=True)
        whole = list(_at_the_ends(onnx.load(prepared)))
        quantization.quantize_static(
            prepared,
            target,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=list(_NETWORK),
            nodes_to_exclude=whole,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        return onnx.load(target)


def _at_the_ends(model: Any) -> Iterator[str]:
    """Names of the convolutions that stay whole."""
    sizes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in _NETWORK and min(sizes.get(node.input[1], [0])[:2]) < _FEW_CHANNELS:
            yield node.name

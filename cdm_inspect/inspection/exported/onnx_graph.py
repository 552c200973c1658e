"""An ONNX graph in ONNX Runtime, on the provider that was asked for and no other."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

import numpy as np

from cdm_inspect.errors import ExportError, PluginUnavailable
from cdm_inspect.inspection.exported.onnx_options import CPU
from cdm_inspect.plugins import GraphOutputs
from cdm_inspect.records import PixelArray

INPUT = "images"
CUDA = "CUDAExecutionProvider"
# Providers that hold their tensors in the memory of a CUDA device.
_ON_CUDA = (CUDA, "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider")
# In their order; the last of `GraphOutputs` may be missing.
_OUTPUTS = list(GraphOutputs._fields)
_TYPES = {"tensor(uint8)": np.uint8, "tensor(uint16)": np.uint16}


class OnnxGraph:
    """A session; see `contracts.ExportedGraph`.

    It is made from bytes, so that a graph cannot name files for its weights.

    Args:
        data: of an ONNX file.
        name: of the file, for messages.
        provider: of ONNX Runtime, by its full name.
        threads: that one operator may use; 0 means one a core.

    Raises:
        PluginUnavailable: if ONNX Runtime is missing, or has no such provider here.
        ExportError: if it is no graph that cdm-inspect has exported.
    """

    def __init__(self, data: bytes, *, name: str, provider: str = CPU, threads: int = 0) -> None:
        runtime = _runtime(provider)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors are raised; warnings tell an operator nothing
        providers: list[Any] = [provider] if provider == CPU else [provider, CPU]
        if provider == CUDA:
            # Otherwise convolutions have ten bits, and scores are not those that were compared.
            providers[0] = (CUDA, {"use_tf32": "0"})
        try:
            # Without fallback: a session that cannot have its provider must not run on another.
            self._session = runtime.InferenceSession(
                data, options, providers=providers, enable_fallback=False
            )
        except Exception as error:
            # ONNX Runtime has an exception of its own for every status, without a common base.
            raise ExportError(
                f"{name} cannot be opened by ONNX Runtime {runtime.__version__}: "
                f"{_first_line(error)}. Export again, or copy the file again."
            ) from error
        if self._session.get_providers()[0] != provider:
            raise PluginUnavailable(_advice(provider, self._session.get_providers()))
        self._device = "cuda" if provider in _ON_CUDA else "cpu"
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        self._outputs = [value.name for value in self._session.get_outputs()]
        self._dtype = self._check_shape(name)

    def __call__(self, images: PixelArray) -> GraphOutputs:
        """Score photographs; see `contracts.ExportedGraph`.

        Raises:
            ExportError: if the graph does not take them.
        """
        from onnxruntime import OrtValue

        if images.dtype != self._dtype or images.ndim != 4:
            raise ExportError(
                f"expected images (batch, height, width, channels) {np.dtype(self._dtype)}, found "
                f"{images.shape} {images.dtype}."
            )
        # Bound, so that on a GPU nothing is copied twice and outputs stay until they are asked for.
        binding = self._session.io_binding()
        value = OrtValue.ortvalue_from_numpy(np.ascontiguousarray(images), self._device, 0)
        binding.bind_ortvalue_input(INPUT, value)
        for name in self._outputs:
            binding.bind_output(name, self._device)
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:
            raise ExportError(f"the graph failed: {_first_line(error)}.") from error
        return GraphOutputs(*binding.copy_outputs_to_cpu())

    def _check_shape(self, name: str) -> Any:
        inputs = {value.name: value for value in self._session.get_inputs()}
        outputs = self._outputs
        is_ours = list(inputs) == [INPUT] and outputs in (_OUTPUTS, _OUTPUTS[:-1])
        dtype = _TYPES.get(inputs[INPUT].type) if is_ours else None
        if dtype is None:
            raise ExportError(
                f"expected in {name} a graph that cdm-inspect has exported, with the input "
                f"{INPUT!r} of bytes and the outputs {', '.join(_OUTPUTS)}, found "
                f"inputs {', '.join(inputs)} and outputs {', '.join(outputs)}. Export again."
            )
        return dtype


def _runtime(provider: str) -> Any:
    """ONNX Runtime, if it is there and has the provider."""
    runtime = onnx_runtime()
    if provider != CPU and hasattr(runtime, "preload_dlls"):
        runtime.preload_dlls()
    found = runtime.get_available_providers()
    if provider not in found:
        raise PluginUnavailable(_advice(provider, found))
    return runtime


def onnx_runtime() -> Any:
    """The module of ONNX Runtime.

    Raises:
        PluginUnavailable: if it is missing or damaged.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise PluginUnavailable(
            "ONNX Runtime is not installed. Run: pip install 'cdm-inspect[station]', or "
            "'cdm-inspect[station-gpu]' for a GPU."
        ) from error
    if not hasattr(onnxruntime, "get_available_providers"):
        raise PluginUnavailable(
            "ONNX Runtime is damaged, as it is after one of its two packages was removed. Run: "
            "pip install --force-reinstall onnxruntime (or onnxruntime-gpu)."
        )
    return onnxruntime


def _advice(provider: str, found: list[str]) -> str:
    """What to do where a provider is missing."""
    message = f"expected the provider {provider} of ONNX Runtime, found {', '.join(found)}. "
    if provider not in _ON_CUDA:
        return message + "Install the build of onnxruntime that has it, or name another provider."
    if _is_installed("onnxruntime") and _is_installed("onnxruntime-gpu"):
        return message + (
            "onnxruntime and onnxruntime-gpu are both installed, and hide each other. Run: pip "
            "uninstall onnxruntime onnxruntime-gpu, then pip install 'cdm-inspect[station-gpu]'."
        )
    return message + (
        "For a GPU: pip uninstall onnxruntime, then pip install 'cdm-inspect[station-gpu]', and "
        "see that `nvidia-smi` shows the device. Nothing was run on the CPU instead."
    )


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0].rstrip(".")

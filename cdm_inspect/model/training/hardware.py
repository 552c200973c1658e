"""Which device to train on, and in what precision."""

from __future__ import annotations

import re
from typing import Any

import torch

from cdm_inspect.errors import InvalidOption

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


def choose_hardware(device: str, precision: str, devices: int = 1) -> tuple[str, Any]:
    """Fabric's names for the accelerator and the precision that suits it.

    Raises:
        InvalidOption: if that is no device, or one that is not there.
    """
    has_cuda = torch.cuda.is_available()
    if not _DEVICE.fullmatch(device):
        raise InvalidOption(f"expected --device auto, cpu, cuda or cuda:N, found {device!r}.")
    if devices < 1 or (devices > 1 and ":" in device):
        raise InvalidOption(
            f"expected --devices 1 or more, and 1 beside {device!r}, found {devices}."
        )
    accelerator = ("cuda" if has_cuda else "cpu") if device == "auto" else device.partition(":")[0]
    if accelerator == "cuda" and not has_cuda:
        raise InvalidOption(
            "--device cuda: PyTorch sees no CUDA device. Check the driver, or use --device cpu."
        )
    wanted = max(devices, int(device.partition(":")[2] or 0) + 1)
    if accelerator == "cuda" and wanted > torch.cuda.device_count():
        raise InvalidOption(
            f"expected a CUDA device number {wanted - 1}, found {torch.cuda.device_count()} of "
            "them, counted from 0."
        )
    if precision != "auto":
        return accelerator, precision
    if accelerator == "cuda":
        return accelerator, "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return accelerator, "bf16-mixed" if cpu_has_bf16() else "32-true"


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 natively; without that it is slower."""
    # Older versions of torch cannot say; float32 is then the safe answer.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))

"""cdm-inspect: visual inspection that learns from photographs of good parts alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cdm_inspect.errors import CdmInspectError

if TYPE_CHECKING:
    from cdm_inspect.detector import Detector
    from cdm_inspect.records import Decision, Inspection, Verdict

    __version__: str

# Looked up when asked for: torch, numpy and the metadata take longer than `--help` may.
_HOMES = {
    "Detector": "detector",
    "Decision": "records",
    "Inspection": "records",
    "Verdict": "records",
}

__all__ = ["CdmInspectError", "Decision", "Detector", "Inspection", "Verdict", "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"cdm_inspect.{_HOMES[name]}"), name)
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("cdm-inspect")
        except PackageNotFoundError:  # run from a source tree that is not installed
            return "0+unknown"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

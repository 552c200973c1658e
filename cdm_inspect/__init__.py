"""cdm-inspect: visual inspection that learns from photographs of good parts alone."""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.records import Decision, Inspection, Verdict

if TYPE_CHECKING:
    from cdm_inspect.detector import Detector

try:
    __version__ = version("cdm-inspect")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"

__all__ = ["CdmInspectError", "Decision", "Detector", "Inspection", "Verdict", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Detector":  # loads torch, which most of the program does without
        from cdm_inspect.detector import Detector

        return Detector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""cdm-inspect: visual inspection that learns from photographs of good parts alone."""

from importlib.metadata import PackageNotFoundError, version

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.records import Decision, Inspection, Verdict

try:
    __version__ = version("cdm-inspect")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"

__all__ = ["CdmInspectError", "Decision", "Inspection", "Verdict", "__version__"]

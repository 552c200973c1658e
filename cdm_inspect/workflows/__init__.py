"""The story, verb by verb: check, train, calibrate, evaluate, inspect. Each reads top to bottom."""

from cdm_inspect.watching import drift
from cdm_inspect.workflows.benching import bench
from cdm_inspect.workflows.checking import CheckReport, check, review_parts
from cdm_inspect.workflows.exporting import export
from cdm_inspect.workflows.judging import evaluate, inspect
from cdm_inspect.workflows.learning import calibrate, train
from cdm_inspect.workflows.looking import diagnose, sample

__all__ = [
    "CheckReport",
    "bench",
    "calibrate",
    "check",
    "diagnose",
    "drift",
    "evaluate",
    "export",
    "inspect",
    "review_parts",
    "sample",
    "train",
]

"""The story, verb by verb: check, train, calibrate, evaluate, inspect. Each reads top to bottom."""

from cdm_inspect.monitoring.drift import drift
from cdm_inspect.workflows.bench import bench
from cdm_inspect.workflows.check import CheckReport, check, review_parts
from cdm_inspect.workflows.export import export
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

"""Training a line: crops, loop, averaging, and the pace of the consistency term."""

from cdm_inspect.model.training.averaging import MovingAverage
from cdm_inspect.model.training.crops import CropBatch, CropSampler
from cdm_inspect.model.training.hardware import choose_hardware, cpu_has_bf16
from cdm_inspect.model.training.loop import Training
from cdm_inspect.model.training.pacing import CostPacer, TermClock, TermSchedule
from cdm_inspect.model.training.recipes import masked_count

__all__ = [
    "CostPacer",
    "CropBatch",
    "CropSampler",
    "MovingAverage",
    "TermClock",
    "TermSchedule",
    "Training",
    "choose_hardware",
    "cpu_has_bf16",
    "masked_count",
]

"""What the review app asks and says, without torch and without Streamlit."""

from cdm_inspect.review.audit import check_audit, hold_part, read_audit
from cdm_inspect.review.desk import REFUSED, ReviewDesk
from cdm_inspect.review.marks import LIMIT_SAMPLE, NO_LIMIT_SAMPLE
from cdm_inspect.review.pictures import (
    Picture,
    heatmap_picture,
    photograph_picture,
    photograph_size,
)
from cdm_inspect.review.work_queues import FLAGGED, PURPOSES, Queue, Work

__all__ = [
    "FLAGGED",
    "LIMIT_SAMPLE",
    "NO_LIMIT_SAMPLE",
    "PURPOSES",
    "REFUSED",
    "Picture",
    "Queue",
    "ReviewDesk",
    "Work",
    "check_audit",
    "heatmap_picture",
    "hold_part",
    "photograph_picture",
    "photograph_size",
    "read_audit",
]

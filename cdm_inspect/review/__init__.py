"""What the review app asks and tells. Loads without torch, and knows nothing of Streamlit."""

from cdm_inspect.review.desk import FLAGGED, PURPOSES, Queue, ReviewDesk, Work
from cdm_inspect.review.keeping import check_audit, hold_part, read_audit
from cdm_inspect.review.pictures import Picture, heatmap_picture, photograph_picture

__all__ = [
    "FLAGGED",
    "PURPOSES",
    "Picture",
    "Queue",
    "ReviewDesk",
    "Work",
    "check_audit",
    "heatmap_picture",
    "hold_part",
    "photograph_picture",
    "read_audit",
]

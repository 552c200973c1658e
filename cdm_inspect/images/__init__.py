"""Photographs: found, read strictly, prepared, and split; heat maps as files and pictures."""

from cdm_inspect.images.acquisition import Acquisition, Envelope
from cdm_inspect.images.dataset import (
    GoodParts,
    PartOrigin,
    choose_held_out,
    content_of,
    load_good_parts,
    spread_evenly,
)
from cdm_inspect.images.folder import (
    FORMATS,
    decode_image,
    find_images,
    find_others,
    read_bytes,
    read_image,
    read_images,
)
from cdm_inspect.images.heatmap import (
    decode_heatmap,
    encode_heatmap,
    overlay_heatmap,
    to_display,
)
from cdm_inspect.images.labelled import (
    LabelledPart,
    find_labelled,
    read_mask,
    read_region,
    thin_labelled,
)
from cdm_inspect.images.preparation import Preparation, Shape
from cdm_inspect.images.synthesis import KINDS, SyntheticPart, battery, damage

__all__ = [
    "FORMATS",
    "KINDS",
    "Acquisition",
    "Envelope",
    "GoodParts",
    "LabelledPart",
    "PartOrigin",
    "Preparation",
    "Shape",
    "SyntheticPart",
    "battery",
    "choose_held_out",
    "content_of",
    "damage",
    "decode_heatmap",
    "decode_image",
    "encode_heatmap",
    "find_images",
    "find_labelled",
    "find_others",
    "load_good_parts",
    "overlay_heatmap",
    "read_bytes",
    "read_image",
    "read_images",
    "read_mask",
    "read_region",
    "spread_evenly",
    "thin_labelled",
    "to_display",
]

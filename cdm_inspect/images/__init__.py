"""Photographs: found, read strictly, prepared, and split; heat maps as files and pictures."""

from cdm_inspect.images.acquisition import CHARTED, Acquisition, Envelope, find_odd_photographs
from cdm_inspect.images.dataset import (
    FoundParts,
    GoodParts,
    PartOrigin,
    choose_held_out,
    content_of,
    find_parts,
    load_good_parts,
    spread_evenly,
)
from cdm_inspect.images.folder import (
    FORMATS,
    SUFFIXES,
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
    encode_picture,
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
from cdm_inspect.images.manifest import (
    Manifest,
    ManifestRow,
    PartDecision,
    load_manifest,
)
from cdm_inspect.images.near_duplicates import find_near_duplicates, join_groups
from cdm_inspect.images.preparation import Preparation, Shape
from cdm_inspect.images.resampling import resampled
from cdm_inspect.images.synthesis import KINDS, SyntheticPart, battery, damage

__all__ = [
    "CHARTED",
    "FORMATS",
    "KINDS",
    "SUFFIXES",
    "Acquisition",
    "Envelope",
    "FoundParts",
    "GoodParts",
    "LabelledPart",
    "Manifest",
    "ManifestRow",
    "PartDecision",
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
    "encode_picture",
    "find_images",
    "find_labelled",
    "find_near_duplicates",
    "find_odd_photographs",
    "find_others",
    "find_parts",
    "join_groups",
    "load_good_parts",
    "load_manifest",
    "overlay_heatmap",
    "read_bytes",
    "read_image",
    "read_images",
    "read_mask",
    "read_region",
    "resampled",
    "spread_evenly",
    "thin_labelled",
    "to_display",
]

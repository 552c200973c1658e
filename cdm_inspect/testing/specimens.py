"""Parts and decisions that stand for those of a plant."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np

from cdm_inspect.records import Decision, Inspection, Region, Review, Verdict


def a_part(number: int, **changes: Any) -> Inspection:
    """An inspection with nearly every field set, and others for every number."""
    facts: dict[str, Any] = {
        "image": Path(f"shift/部品 {number}.png"),
        "sha256": f"{number:064x}",
        "line": "A",
        "verdict": Verdict.REJECT,
        "model": "model",
        "calibration": "calibration",
        "scorer": "residual",
        "threshold": 1.5,
        "score": 2.0 + number / 7,
        "p_value": 0.01,
        "heatmap": np.random.default_rng(number).normal(size=(6, 8)).astype(np.float32),
        "regions": (Region(x=1, y=2, width=3, height=4, area=9, peak=2.5),),
        "acquisition": {"exposure": 0.25, "focus": 11.0},
        "serial": f"S-{number}",
        "lot": "L-7",
        "station": "press 3",
        "camera": "上",
    }
    return Inspection(**{**facts, **changes})


def evidence_of(number: int) -> bytes:
    """What stands for the bytes of its photograph."""
    return f"photograph {number}".encode() * 20


def a_review(inspection_id: int, decision: Decision = Decision.ACCEPT, **changes: Any) -> Review:
    """A decision of Ms Sato."""
    facts: dict[str, Any] = {
        "client_id": uuid.uuid4().hex,
        "inspection_id": inspection_id,
        "decision": decision,
        "reviewer": "佐藤",
        "comment": "=looks fine",
        "reason": "dent",
        "region": Region(x=1, y=2, width=3, height=4, area=12, peak=0.0),
        "role": "qa",
        "seen_ms": 840,
    }
    return Review(**{**facts, **changes})

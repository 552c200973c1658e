"""How small a defect is still found: a battery of synthetic defects at the operating point."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cdm_inspect.images import battery
from cdm_inspect.project import Project
from cdm_inspect.records import JsonObject, Tick, no_progress
from cdm_inspect.scoring.fitting import SEED
from cdm_inspect.workflows.assembly import good_parts_of, open_inspector

SIZES = (0.04, 0.08, 0.16, 0.32)
CONTRASTS = (0.5, 1.0, 2.0)
# Share of defects that must be found for their size to count as detectable.
_DETECTED = 0.9


def measure_detectability(
    project: Project,
    line: str,
    *,
    scorer: str | None = None,
    repeats: int = 4,
    seed: int = 0,
    device: str = "auto",
    tick: Tick = no_progress,
) -> JsonObject:
    """Damage held-out good parts in known ways and count what the line's threshold catches.

    The threshold, the statistics behind it and the choice of pooling come from the same good
    parts, with other defects: a figure here is a little brighter than on parts never seen.

    Args:
        repeats: defects of each kind, size and contrast.
        device: "auto", "cpu" or "cuda".

    Returns:
        `defects`: for each kind, contrast and size the share found; `smallest`: for each kind and
        contrast the smallest size, in share of the short side, from which at least 90 % are found
        at this and every larger size, or None; `flagged_undamaged`, the share of held-out good
        parts that the threshold flags as they are.
    """
    inspector = open_inspector(project, line, scorer=scorer, device=device)
    config = project.config.line(line)
    held_out = good_parts_of(project, config, inspector.scorer.model)[1].images
    parts = [
        part
        for repeat in range(repeats)
        for part in battery(
            np.roll(held_out, -repeat, axis=0),
            # Never one that the scorer's choices were made on.
            seed=SEED + 1 + seed + repeat,
            sizes=SIZES,
            contrasts=CONTRASTS,
            region=inspector.scorer.region,
        )
    ]
    calibration = inspector.calibration
    found: dict[tuple[str, float, float], list[bool]] = defaultdict(list)
    for done, part in enumerate(parts, start=1):
        score = inspector.scorer.look_at(part.image).appraise().score
        found[part.kind, part.contrast, part.size].append(score >= calibration.threshold)
        tick(done, len(parts))
    return {
        "scorer": calibration.scorer,
        "threshold": calibration.threshold,
        "flagged_undamaged": calibration.flagged_held_out / len(calibration.scores),
        "repeats": repeats,
        "sizes": list(SIZES),
        "contrasts": list(CONTRASTS),
        **_rates(found),
    }


def _rates(found: Mapping[tuple[str, float, float], Sequence[bool]]) -> JsonObject:
    """The shares found, by kind, contrast and size, and the smallest size that is detected."""
    rates = {key: float(np.mean(values)) for key, values in found.items()}
    kinds = list(dict.fromkeys(kind for kind, _, _ in rates))
    curves = {
        (kind, contrast): [rates[kind, contrast, size] for size in SIZES]
        for kind in kinds
        for contrast in CONTRASTS
    }
    return {
        "defects": [
            {"kind": kind, "contrast": contrast, "found": curve}
            for (kind, contrast), curve in curves.items()
        ],
        "smallest": {
            kind: {f"{c:g}": smallest_detected(curves[kind, c]) for c in CONTRASTS}
            for kind in kinds
        },
    }


def smallest_detected(rates: list[float]) -> float | None:
    """The smallest of `SIZES` from which on every size is detected; None if there is none."""
    smallest = None
    for size, rate in zip(reversed(SIZES), reversed(rates), strict=True):
        if rate < _DETECTED:
            break
        smallest = size
    return smallest


def draw_detectability(document: JsonObject, title: str, destination: Path) -> None:
    """Share found against size, one panel a kind of defect; written as PNG."""
    from matplotlib.figure import Figure

    kinds = list(document["smallest"])
    figure = Figure(figsize=(3.2 * len(kinds), 3.4), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    shades = {0.5: "#c5d86d", 1.0: "#3a7d7c", 2.0: "#00204d"}
    for panel, kind in zip(axes, kinds, strict=True):
        for row in document["defects"]:
            if row["kind"] == kind:
                panel.plot(
                    [100 * size for size in document["sizes"]],
                    [100 * rate for rate in row["found"]],
                    marker="o",
                    color=shades.get(row["contrast"]),
                    label=f"contrast {row['contrast']:g} SD",
                )
        panel.axhline(100 * _DETECTED, color="0.6", linewidth=1, linestyle="--")
        panel.set(title=kind, xscale="log", xlabel="size, % of the short side", ylim=(-4, 104))
        panel.set_xticks([100 * size for size in document["sizes"]])
        panel.set_xticklabels([f"{100 * size:g}" for size in document["sizes"]])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    axes[0].set_ylabel("found, %")
    axes[-1].legend(fontsize=8, loc="lower right")
    destination.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(destination, dpi=90)

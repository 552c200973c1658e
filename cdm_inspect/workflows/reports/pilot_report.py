"""The pilot as one HTML page that needs nothing else: two languages, five minutes to read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cdm_inspect.config.words import LANGUAGES, Speech
from cdm_inspect.encoding import to_json
from cdm_inspect.files import write_durably
from cdm_inspect.records import JsonObject
from cdm_inspect.workflows.pilot.names import endpoint_name
from cdm_inspect.workflows.reports.pages import draw_svg, write_page

_COLOURS = {
    "off": "#00204d",
    "on": "#d55e00",
    "staged": "#009e73",
    "off-equal-images": "#7f7f7f",
}
# Whether more is better (+1), worse (-1), or 1 is best (0).
DIRECTIONS = {
    "dsm_held_out": -1,
    "gap": -1,
    "drift": -1,
    "curl": -1,
    "returned": 0,
    "z_squared": 0,
    "escape_rate": -1,
    "false_reject_rate": -1,
    "cost_per_1000": -1,
}


def write_pilot_report(document: JsonObject, destination: Path) -> None:
    """Write the page of a pilot, and its figures as JSON beside it.

    Args:
        document: what `run_pilot` returned.
    """
    pages = [_page(document, language) for language in LANGUAGES]
    write_page("pilot_report.html", destination, document, pages)
    write_durably(destination.with_suffix(".json"), to_json(document, indent=1))


def _page(document: JsonObject, language: str) -> JsonObject:
    word = Speech(language, "page_pilot.")
    verdict = document["verdict"]
    endpoint = endpoint_name(verdict["endpoint"], language)
    deciding = "cost_per_1000" if document["data"] else "drift"
    seconds = document["seconds_per_run"]
    duration = word("minutes", n=seconds / 60) if seconds > 90 else word("seconds", n=seconds)
    ratios = [r["consistency_cost_ratio"] for r in document["runs"] if r["arm"] == "on"]
    known = [ratio for ratio in ratios if ratio is not None]
    return {
        "language": language,
        "word": word,
        "answer": verdict["answer"],
        "sentence": word(f"rule_{verdict['rule']}", endpoint=endpoint),
        "compared": word(
            "compared_text",
            **{**document, "seconds": duration},
        ),
        "judged": word("judged_text", **document["runs"][0]) if document["data"] else "",
        "rows": list(_rows(document, language)),
        "curves": draw_svg(
            lambda figure: _draw_curves(figure, document["runs"], word), (11, 3.6), word
        ),
        "cost": word("cost_text", ratio=f"{sum(known) / len(known):.2f}") if known else "",
        "rules": word("rules_text", endpoint=endpoint_name(deciding, language)),
        "costs": word("costs_text", line=document["line"], **document["costs"]),
        "cautions": word("cautions_text", runs=len(document["comparisons"])),
    }


def read_difference(comparison: Mapping[str, Any]) -> str:
    """better, worse, changed (where 1 is best) or same, by the interval of a difference."""
    if comparison["low"] <= 0 <= comparison["high"] or math.isnan(comparison["low"]):
        return "same"
    direction = DIRECTIONS.get(comparison["endpoint"], 1)
    if direction == 0:
        return "changed"
    return "better" if (comparison["difference"] > 0) == (direction > 0) else "worse"


def _rows(document: JsonObject, language: str) -> Any:
    found = {(c["endpoint"], c["arm"], c["reference"]): c for c in document["comparisons"]}
    columns = (("on", "off"), ("staged", "off"), ("on", "off-equal-images"))
    for endpoint in dict.fromkeys(c["endpoint"] for c in document["comparisons"]):
        cells = []
        for arm, reference in columns:
            comparison = found[endpoint, arm, reference]
            reading = read_difference(comparison)
            cells.append(
                {
                    "value": f"{comparison['difference']:+.3g}",
                    "relative": ""
                    if math.isnan(comparison["relative"])
                    else f"{comparison['relative']:+.1%}",
                    "interval": f"[{comparison['low']:+.3g}, {comparison['high']:+.3g}]",
                    "reading": reading,
                    "word": Speech(language, "page_pilot.")(reading),
                }
            )
        yield {
            "name": endpoint_name(endpoint, language),
            "off": f"{found[endpoint, 'on', 'off']['reference_mean']:.4g}",
            "on": f"{found[endpoint, 'on', 'off']['arm_mean']:.4g}",
            "cells": cells,
        }


def _draw_curves(figure: Any, runs: list[JsonObject], word: Speech) -> None:
    axes = figure.subplots(1, 2, sharey=True)
    for panel, column, label in ((axes[0], 0, "axis_seconds"), (axes[1], 1, "axis_images")):
        named = set()
        for run in runs:
            arm = run["arm"]
            panel.plot(
                [point[column] for point in run["curve"]],
                [point[2] for point in run["curve"]],
                color=_COLOURS[arm],
                linestyle="--" if arm == "off-equal-images" else "-",
                label=None if arm in named else arm,
            )
            named.add(arm)
        panel.set_xlabel(word(label))
        panel.set_yscale("log")
        panel.grid(alpha=0.3, which="both")
    axes[0].set_ylabel(word("axis_dsm"))
    axes[1].legend(fontsize=8, loc="upper right")

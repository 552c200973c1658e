"""The evaluation as one HTML page that needs nothing else, in two languages, and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cdm_inspect.config.words import LANGUAGES, Speech
from cdm_inspect.encoding import readable
from cdm_inspect.evaluation.metrics import ScoredPart
from cdm_inspect.images import overlay_heatmap
from cdm_inspect.records import JsonObject
from cdm_inspect.workflows.reports.pages import data_url, draw_svg, write_page

_GOOD, _BAD, _REVIEW, _REJECT = "#00204d", "#d5a000", "#d55e00", "#b3261e"
_WORST = 8
_FIGURES = (
    "image_AUROC",
    "image_AUPR",
    "image_F1Max",
    "pixel_AUROC",
    "pixel_AUPRO",
    "pixel_AUPIMO",
)


def write_evaluation_report(
    document: JsonObject, parts: Sequence[ScoredPart], destination: Path
) -> None:
    """Write the page of an evaluation.

    Args:
        document: the JSON of `evaluate`.
        parts: that were judged.
    """
    pages = [_page(document, parts, language) for language in LANGUAGES]
    write_page("evaluation_report.html", destination, document, pages)


def draw_evaluation(document: JsonObject, parts: Sequence[ScoredPart], destination: Path) -> None:
    """Write the curves and the worst cases as a PNG, labelled in English."""
    from matplotlib.figure import Figure

    word = Speech("en", "page_evaluation.")
    columns = 4
    figure = Figure(figsize=(16, 11), layout="constrained")
    interval = document["image_AUROC_interval"]
    between = "" if interval is None else " [{:.3f}, {:.3f}]".format(*interval)
    figure.suptitle(
        f"Line {document['line']}, {document['scorer']}: escapes {document['escape_rate']:.1%}, "
        f"false rejects {document['false_reject_rate']:.1%}; image AUROC "
        f"{document['image_AUROC']:.3f}{between}, {document['n_good']} good, "
        f"{document['n_defective']} defective parts"
    )
    grid = figure.add_gridspec(3, 2 * columns, height_ratios=(1.4, 1, 1))
    places = [grid[0, 2 * column : 2 * column + 2] for column in range(4)]
    _draw_curves([figure.add_subplot(place) for place in places], document, parts, word)
    for row, (title, cases) in enumerate(_worst(parts), start=1):
        for column, part in enumerate(cases[:columns]):
            plain = figure.add_subplot(grid[row, 2 * column])
            plain.imshow(part.picture)
            plain.set_title(
                f"{word(title)}\n{_name(part)}" if column == 0 else _name(part),
                fontsize=8,
                parse_math=False,
            )
            heat = figure.add_subplot(grid[row, 2 * column + 1])
            heat.imshow(_overlay(part, document["threshold"]))
            heat.set_title(f"score {part.score:.2f}", fontsize=8, parse_math=False)
            plain.axis("off")
            heat.axis("off")
    destination.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(destination, dpi=90)


def _page(document: JsonObject, parts: Sequence[ScoredPart], language: str) -> JsonObject:
    word = Speech(language, "page_evaluation.")
    escaped = document["confusion"]["defective"]["pass"]
    flagged = document["n_good"] - document["confusion"]["good"]["pass"]
    undecided = len(document["undecided"])
    page: JsonObject = {
        "language": language,
        "word": word,
        "escapes": word(
            "escapes",
            escaped=escaped,
            n_defective=document["n_defective"],
            rate=document["escape_rate"],
            **_ends(document["escape_interval"]),
        ),
        "false_rejects": word(
            "false_rejects",
            flagged=flagged,
            n_good=document["n_good"],
            rate=document["false_reject_rate"],
            **_ends(document["false_reject_interval"]),
        ),
        "facts": word("facts", **document),
        "readings": word("readings", n=document["readings"]) if document["readings"] > 1 else "",
        "undecided": word("undecided", n=undecided) if undecided else "",
        "figures": [_figure(document, name, word) for name in _FIGURES],
        "curves": draw_svg(
            lambda figure: _draw_curves(figure.subplots(2, 2).flatten(), document, parts, word),
            (11, 8),
            word,
        ),
        "worst": [
            (word(title), [_case(part, document["threshold"]) for part in cases])
            for title, cases in _worst(parts)
        ],
    }
    if (compared := document.get("compare")) is not None:
        sentence = "no_worse" if compared["is_no_worse"] else "maybe_worse"
        page["compare_text"] = word("compare_text", parts=compared["parts"], other=compared["with"])
        page["compare_verdict"] = word(sentence, margin=compared["margin"])
    return page


def _ends(interval: Sequence[float]) -> dict[str, float]:
    return {"low": interval[0], "high": interval[1]}


def _figure(document: JsonObject, name: str, word: Speech) -> JsonObject:
    value, interval = document[name], document.get(f"{name}_interval")
    return {
        "name": word(name),
        "value": "–" if value is None else f"{value:.3f}",
        "interval": "–" if interval is None else f"{interval[0]:.3f} – {interval[1]:.3f}",
    }


def _worst(parts: Sequence[ScoredPart]) -> list[tuple[str, list[ScoredPart]]]:
    bad = sorted((part for part in parts if not part.is_good), key=lambda part: part.score)
    good = sorted((part for part in parts if part.is_good), key=lambda part: -part.score)
    return [("worst_escapes", bad[:_WORST]), ("worst_false_rejects", good[:_WORST])]


def _name(part: ScoredPart) -> str:
    return readable(f"{part.label}/{part.path.name}")


def _overlay(part: ScoredPart, threshold: float) -> npt.NDArray[np.uint8]:
    return overlay_heatmap(part.picture, part.heatmap, threshold, 0.7)


def _case(part: ScoredPart, threshold: float) -> JsonObject:
    return {
        "name": _name(part),
        "facts": f"{part.verdict.value}, score {part.score:.2f}, p {part.p_value:.3f}",
        "picture": data_url(part.picture),
        "overlay": data_url(_overlay(part, threshold)),
    }


def _draw_curves(
    axes: Sequence[Any], document: JsonObject, parts: Sequence[ScoredPart], word: Speech
) -> None:
    """ROC, precision and recall, scores, p-values of good parts: four panels."""
    good = np.array([part.score for part in parts if part.is_good])
    bad = np.array([part.score for part in parts if not part.is_good])
    cuts = np.unique(np.concatenate([good, bad]))[::-1]
    false = np.array([0, *(good[None] >= cuts[:, None]).sum(1)])
    true = np.array([0, *(bad[None] >= cuts[:, None]).sum(1)])
    here = (document["false_reject_rate"], 1 - document["escape_rate"])
    axes[0].plot(false / len(good), true / len(bad), color=_GOOD)
    axes[0].plot(*here, "o", color=_REVIEW)
    axes[0].plot([0, 1], [0, 1], color="0.8", linewidth=1)
    axes[0].set(title=word("roc"), xlabel=word("flagged_good"), ylabel=word("flagged_bad"))

    precision = np.divide(true, true + false, out=np.ones(len(true)), where=true + false > 0)
    axes[1].plot(true / len(bad), precision, color=_GOOD)
    counts = here[1] * len(bad), here[0] * len(good)
    if sum(counts) > 0:
        axes[1].plot(here[1], counts[0] / sum(counts), "o", color=_REVIEW)
    axes[1].set(
        title=word("precision_recall"), xlabel=word("flagged_bad"), ylabel=word("precision")
    )

    edges = np.linspace(cuts[-1], cuts[0] + 1e-6, 40)
    axes[2].hist(good, edges, alpha=0.8, label=word("good"), color=_GOOD)
    axes[2].hist(bad, edges, alpha=0.6, label=word("defective"), color=_BAD, hatch="//")
    axes[2].axvline(document["threshold"], color=_REVIEW, label=word("review_from"))
    if document["reject_threshold"] is not None:
        axes[2].axvline(
            document["reject_threshold"], color=_REJECT, linestyle="--", label=word("reject_from")
        )
    axes[2].set(title=word("scores"), xlabel=word("score"), ylabel=word("parts"))
    axes[2].legend(fontsize=8, loc="upper right")

    rows = document["p_values"]
    levels, shares = [row["level"] for row in rows], np.array([row["share"] for row in rows])
    reach = np.abs(np.array([[row["low"], row["high"]] for row in rows]).T - shares)
    axes[3].errorbar(levels, shares, yerr=reach, fmt="o", color=_GOOD, capsize=3)
    axes[3].plot([0, 1], [0, 1], color="0.6", linewidth=1)
    axes[3].set(title=word("reliability"), xlabel=word("level"), ylabel=word("share"))
    for panel in (axes[0], axes[1], axes[3]):
        panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    for panel in axes:
        panel.grid(alpha=0.3)

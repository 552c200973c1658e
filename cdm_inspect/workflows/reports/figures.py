"""Pictures of measurements, for people who would rather look than read; written as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cdm_inspect.images import to_display
from cdm_inspect.records import FloatArray, JsonObject

if TYPE_CHECKING:
    from cdm_inspect.model.diagnosis import Diagnosis
    from cdm_inspect.records import Estimate

_COLOURS = ("#00204d", "#d55e00")
_MARKERS = ("o", "s", "^", "D")


def draw_diagnosis(
    diagnoses: Sequence[Diagnosis],
    examples: Sequence[tuple[str, FloatArray]],
    title: str,
    destination: Path,
) -> None:
    """One page about one model, or about two side by side.

    Args:
        diagnoses: one or two; the first is the model of the line.
        examples: rows of pictures, each a name and (count, channels, height, width) in [-1, 1].
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 8.5 + 1.6 * len(examples)), layout="constrained")
    figure.suptitle(title)
    pages: Any = figure.subfigures(2, 1, height_ratios=(8, 0.2 + 1.6 * len(examples)))
    top, bottom = pages
    axes = top.subplots(2, 3)
    for diagnosis, colour in zip(diagnoses, _COLOURS, strict=False):
        _draw_levels(axes, diagnosis, colour)
        _draw_drifts(axes[1], diagnosis, colour)
    _label(axes)
    grid = bottom.subplots(len(examples), len(examples[0][1]), squeeze=False)
    for row, (name, pictures) in zip(grid, examples, strict=True):
        for cell, picture in zip(row, pictures, strict=True):
            pixels = np.rint((np.clip(picture.transpose(1, 2, 0), -1, 1) + 1) * 127.5)
            cell.imshow(to_display(pixels.astype(np.uint8)))
            cell.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, fontsize=8)
    destination.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(destination, dpi=90)


def draw_bench(document: JsonObject, destination: Path) -> None:
    """Detectors side by side: how well they tell parts apart, and how long they take.

    Args:
        document: of `cdm-inspect bench`.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    rows = document["rows"][::-1]
    names = [row["scorer"] for row in rows]
    colours = [_COLOURS[int(name == document["compared_with"])] for name in names]
    figure = Figure(figsize=(13, 2 + 0.45 * len(rows)), layout="constrained")
    figure.suptitle(f"Line {document['line']} on {document['data']}")
    axes: Any = figure.subplots(1, 3, sharey=True)
    for panel, key, title in zip(
        axes,
        ("image_AUROC", "pixel_AUROC", "seconds_per_image"),
        ("Image AUROC, 95 % interval", "Pixel AUROC", "Seconds an image"),
        strict=True,
    ):
        panel.set_title(title, fontsize=10)
        panel.grid(axis="x", alpha=0.3)
        for place, row in enumerate(rows):
            value = row[key]
            if value is None:
                panel.text(0.5, place, "no masks", fontsize=8, va="center")
                continue
            panel.plot(value, place, "o", color=colours[place])
            interval = row.get(f"{key}_interval")
            if interval is not None:
                panel.plot(interval, [place, place], color=colours[place])
            panel.annotate(
                f"{value:.3f}",
                (value, place),
                (0, 7),
                textcoords="offset points",
                fontsize=8,
                ha="center",
            )
    axes[0].set_yticks(range(len(rows)), names)
    axes[0].set_ylim(-0.6, len(rows) - 0.2)
    for panel in axes[:2]:
        panel.axvline(0.5, color="0.5", linewidth=1)
        panel.set_xlim(right=1.02)
    axes[2].set_xscale("log")
    seconds = [row["seconds_per_image"] for row in rows]
    axes[2].set_xlim(min(seconds) / 2, max(seconds) * 2)
    axes[2].xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[2].xaxis.set_major_formatter("{x:g}")
    axes[2].xaxis.set_minor_locator(NullLocator())
    destination.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(destination, dpi=100)


def _draw_levels(axes: Any, diagnosis: Diagnosis, colour: str) -> None:
    sigmas = [level.sigma for level in diagnosis.levels]
    name = diagnosis.model
    _band(axes[0, 0], sigmas, [level.dsm_held_out for level in diagnosis.levels], colour, name)
    known = [level.dsm_train.value for level in diagnosis.levels]
    axes[0, 0].plot(sigmas, known, "--", color=colour, label=f"{name}, training parts")
    _band(axes[0, 1], sigmas, [level.gap for level in diagnosis.levels], colour, name)
    _band(axes[0, 2], sigmas, [level.curl for level in diagnosis.levels], colour, name)
    _band(axes[1, 0], sigmas, [level.z_squared for level in diagnosis.levels], colour, name)


def _draw_drifts(axes: Any, diagnosis: Diagnosis, colour: str) -> None:
    for start, marker in zip(sorted({d.start for d in diagnosis.drifts}), _MARKERS, strict=False):
        chosen = [drift for drift in diagnosis.drifts if drift.start == start]
        steps, name = [drift.steps for drift in chosen], f"{diagnosis.model}, from {start:g}"
        _band(axes[1], steps, [drift.drift for drift in chosen], colour, name, marker)
        _band(axes[2], steps, [drift.returned for drift in chosen], colour, name, marker)


def _band(
    axes: Any, x: Sequence[float], y: Sequence[Estimate], colour: str, name: str, marker: str = "o"
) -> None:
    axes.plot(x, [e.value for e in y], color=colour, label=name, marker=marker, markersize=4)
    axes.fill_between(x, [e.low for e in y], [e.high for e in y], color=colour, alpha=0.15)


def _label(axes: Any) -> None:
    texts = (
        ("Denoising error (held out; dashed: training parts)", "weighted error"),
        ("Martingale gap over four steps to half the noise", "weighted gap (0: consistent)"),
        ("Curl of the field", "normalised asymmetry (0: conservative)"),
        ("Does it know how sure it is?", "mean z² (1: exactly)"),
        ("Sampling drift of restored parts", "good-part standard deviations"),
        ("Restored parts pushed back", "error relative to real parts (1: as rich)"),
    )
    for panel, (title, y) in zip(axes.flat, texts, strict=True):
        panel.set_title(title, fontsize=10)
        panel.set_ylabel(y, fontsize=9)
        panel.set_xscale("log")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7)
    for panel in axes.flat[:4]:
        panel.set_xlabel("noise level sigma", fontsize=9)
    axes[0, 1].axhline(0, color="0.5", linewidth=1)
    for panel in (axes[1, 0], axes[1, 2]):
        panel.axhline(1, color="0.5", linewidth=1)
    axes[1, 1].set_yscale("log")  # models differ by factors, not by amounts
    for panel in axes[1, 1:]:
        panel.set_xlabel("solver steps", fontsize=9)
        panel.set_xscale("log", base=2)

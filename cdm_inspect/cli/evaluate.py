"""`cdm-inspect evaluate`: what labelled parts say of the verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from cdm_inspect.cli.arguments import (
    AllScorers,
    Device,
    Line,
    Overrides,
    ScorerName,
    of_each_scorer,
    parse_share,
    scorers_asked_for,
)
from cdm_inspect.cli.context import Context

if TYPE_CHECKING:
    from cdm_inspect.project import Project


_VERDICTS = ("pass", "review", "reject", "undecided")


_MANY_FLAGGED = 0.1


def evaluate(
    context: typer.Context,
    line: Line,
    data: Annotated[Path, typer.Option(help="Labelled folder in the MVTec layout.")],
    scorer: ScorerName = None,
    all_scorers: AllScorers = False,
    report: Annotated[
        Path | None, typer.Option(help="Where the PNG goes; HTML and JSON go beside it.")
    ] = None,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Also: how small a defect is still found?")
    ] = False,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Also: what do light, focus and place do?")
    ] = False,
    compare: Annotated[
        Path | None, typer.Option(help="JSON report of another evaluation of the same parts.")
    ] = None,
    margin: Annotated[
        str, typer.Option(help="By which escapes may be higher and still no worse.")
    ] = "2%",
    device: Device = "auto",
    overrides: Overrides = None,
) -> None:
    """Compare verdicts with labels."""
    state: Context = context.obj
    project = state.open(line, overrides)
    names = scorers_asked_for(project, line, scorer, all_scorers)

    def judge(name: str) -> dict[str, Any]:
        # One picture a scorer.
        own = report.with_stem(f"{report.stem}-{name}") if report and all_scorers else report
        is_first = name == names[0]
        return evaluate_line(
            state,
            project,
            line,
            data,
            name,
            report=own,
            synthetic=synthetic and is_first,
            robustness=robustness and is_first,
            compare=compare if is_first else None,
            margin=parse_share(margin),
            device=device,
        )

    results = of_each_scorer(state, names, judge)
    show_evaluations(state, list(results.values()))
    document = results[names[0]]
    state.screen.say(f"report: {escape(document['report_html'])}")
    if all_scorers:
        document = {**document, "scorers": results}
    state.screen.finish(document)


def evaluate_line(
    state: Context, project: Project, line: str, data: Path, scorer: str | None, **options: Any
) -> dict[str, Any]:
    """Judge labelled parts behind a progress bar; `show_evaluations` shows the result.

    Args:
        options: further ones of `workflows.evaluate`.
    """
    from cdm_inspect.workflows.evaluate import evaluate as evaluate_scorer

    with state.screen.counting(f"evaluate {scorer or project.config.line(line).scorer}") as tick:
        return evaluate_scorer(project, line, data, scorer=scorer, tick=tick, **options)


def show_evaluations(state: Context, results: list[dict[str, Any]]) -> None:
    """Verdicts first, then the figures of all scorers, by defect, and what else was measured."""
    first = results[0]
    _show_verdicts(state, first)
    _show_figures(state, results)
    for result in results:
        for problem in result["undecided"]:
            state.screen.say(f"[magenta]undecided[/magenta] {escape(problem)}")
    if first["synthetic"] is not None:
        _show_detectability(state, first["synthetic"])
    if first["robustness"] is not None:
        _show_robustness(state, first["robustness"])
    if first["compare"] is not None:
        _show_comparison(state, first["compare"])
    readings = max(result["readings"] for result in results)
    if readings > 1:
        state.screen.say(
            f"[yellow]note:[/yellow] these labelled parts have been read {readings} times "
            "for this line; what was chosen after a reading looks better on them than on new parts."
        )


def _show_verdicts(state: Context, result: dict[str, Any]) -> None:
    """The confusion at the operating point, with exact intervals."""
    wrong = {
        "good": ("false rejects", result["false_reject_rate"], result["false_reject_interval"]),
        "defective": ("escapes", result["escape_rate"], result["escape_interval"]),
    }
    rows = []
    for side, counts in result["confusion"].items():
        name, rate, (low, high) = wrong[side]
        verdicts = [str(counts[verdict]) for verdict in _VERDICTS]
        rows.append((side, *verdicts, f"{name} {rate:.1%} ({low:.1%} to {high:.1%})"))
    title = (
        f"Line {result['line']}, {result['scorer']}: {result['n_good']} good and "
        f"{result['n_defective']} defective parts"
    )
    header = ("parts", *_VERDICTS, "wrong (exact 95 % interval)")
    state.screen.table(title, header, rows)


def _show_figures(state: Context, results: list[dict[str, Any]]) -> None:
    names = ("image_AUROC", "image_AUPR", "image_F1Max", "pixel_AUROC", "pixel_AUPRO")
    header = [name.replace("_", " ") for name in names]
    state.screen.table(
        "Figures of merit (AUPRO up to a false-positive rate of 0.3)",
        (
            "scorer",
            header[0] + " (95 %)",
            *header[1:],
            "AUPIMO",
            "false rej.",
            "escapes",
            "s/image",
        ),
        [
            (
                result["scorer"],
                f"{result['image_AUROC']:.3f}{between(result['image_AUROC_interval'])}",
                *(optional(result[name]) for name in (*names[1:], "pixel_AUPIMO")),
                f"{result['false_reject_rate']:.1%}",
                f"{result['escape_rate']:.1%}",
                f"{result['seconds_per_image']:.3f}",
            )
            for result in results
        ],
    )
    state.screen.table(
        "By defect",
        ("scorer", "defect", "parts", "image AUROC", "escapes (exact 95 % interval)"),
        [
            (
                result["scorer"],
                label,
                str(row["count"]),
                f"{row['image_AUROC']:.3f}",
                f"{row['escape_rate']:.1%} " + "({:.1%} to {:.1%})".format(*row["escape_interval"]),
            )
            for result in results
            for label, row in result["per_defect"].items()
        ],
    )


def _show_detectability(state: Context, document: dict[str, Any]) -> None:
    """A table of the smallest synthetic defects that are found."""
    contrasts = [f"{contrast:g}" for contrast in document["contrasts"]]
    state.screen.table(
        "Smallest synthetic defect found 9 times in 10, in % of the short side",
        ("kind", *(f"contrast {contrast} SD" for contrast in contrasts)),
        [
            (kind, *(_percent(smallest[contrast]) for contrast in contrasts))
            for kind, smallest in document["smallest"].items()
        ],
    )
    if document["flagged_undamaged"] > _MANY_FLAGGED:
        state.screen.say(
            f"[yellow]note:[/yellow] the threshold also flags "
            f"{document['flagged_undamaged']:.0%} of good parts without any defect: much of this "
            "is found without being seen."
        )


def _show_robustness(state: Context, rows: list[dict[str, Any]]) -> None:
    state.screen.table(
        "When light, focus or place change (some parts; exact 95 % intervals)",
        ("change", "", "undecided", "false rejects", "escapes", "image AUROC"),
        [
            (
                row["kind"],
                row["level"],
                str(row["undecided"]),
                *(
                    f"{row[f'{name}_rate']:.1%} "
                    + "({:.0%} to {:.0%})".format(*row[f"{name}_interval"])
                    for name in ("false_reject", "escape")
                ),
                f"{row['image_AUROC']:.3f}",
            )
            for row in rows
        ],
    )


def _show_comparison(state: Context, compared: dict[str, Any]) -> None:
    names = {"escapes": "escapes", "false_rejects": "false rejects", "image_AUROC": "image AUROC"}
    state.screen.table(
        f"Against {compared['with']}, on {compared['parts']} parts",
        ("", "this one", "the other", "difference (95 %)", "p"),
        [
            (
                name,
                f"{row['ours']:.4f}",
                f"{row['theirs']:.4f}",
                f"{row['difference']:+.4f}"
                + ("" if row["low"] is None else f" ({row['low']:+.4f} to {row['high']:+.4f})"),
                optional(row["p_value"]),
            )
            for name, row in ((text, compared[key]) for key, text in names.items())
        ],
    )
    worse = "no worse" if compared["is_no_worse"] else "possibly worse"
    state.screen.say(f"escapes: {worse} than the other, margin {compared['margin']:.1%}")


def _percent(size: float | None) -> str:
    return "not found" if size is None else f"{100 * size:g}"


def between(interval: list[float] | None) -> str:
    """For a cell of a table."""
    return "" if interval is None else " ({:.3f} to {:.3f})".format(*interval)


def optional(value: float | None) -> str:
    """For a cell of a table."""
    return "-" if value is None else f"{value:.3f}"

"""`cdm-inspect check`: are the photographs of good parts fit to learn from?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdm_inspect.cli.arguments import (
    Line,
    Overrides,
)
from cdm_inspect.cli.context import Context

if TYPE_CHECKING:
    from cdm_inspect.project import Project


def check(
    context: typer.Context,
    line: Line,
    accept: Annotated[
        list[Path] | None, typer.Option(help="A good part that was looked at and is good.")
    ] = None,
    exclude: Annotated[
        list[Path] | None, typer.Option(help="A part to leave out of everything from now on.")
    ] = None,
    manifest: Annotated[
        bool, typer.Option("--manifest", help="Write a row for each part, to name groups in.")
    ] = False,
    overrides: Overrides = None,
) -> None:
    """Read every good part and say which cannot be used, which are odd, and why."""
    from cdm_inspect.workflows.check import review_parts

    state: Context = context.obj
    project = state.open(line, overrides)
    if accept or exclude or manifest:
        file = review_parts(
            project, line, accept=accept or [], exclude=exclude or [], is_complete=manifest
        )
        state.screen.say(f"manifest: {file}")
    state.screen.finish(check_line(state, project, line))


def check_line(
    state: Context,
    project: Project,
    line: str,
) -> dict[str, Any]:
    """Read every good part; a table of what is usable, what is odd, and each problem."""
    from cdm_inspect.workflows.check import check as check_parts
    from cdm_inspect.workflows.reports.check_report import write_check_report

    with state.screen.counting("check") as tick:
        report = check_parts(project, line, tick=tick)
    state.screen.facts(
        f"Line {line}: good parts",
        [
            ("folder", report.folder),
            ("usable", f"{report.usable} of {report.files} files (needed: {report.needed})"),
            ("sizes", ", ".join(f"{size}: {count}" for size, count in report.sizes.items())),
            ("kinds", ", ".join(f"{kind}: {count}" for kind, count in report.kinds.items())),
            (
                "split",
                f"{report.n_train} to train on, {report.n_held_out} held out"
                + ("" if report.is_enough else "; training would not begin"),
            ),
            ("groups", f"{report.groups}, never split"),
        ],
    )
    if report.passed_over:
        names = ", ".join(f"{count} {ending}" for ending, count in report.passed_over.items())
        state.screen.say(f"passed over, being no PNG, JPEG, BMP or TIFF by name: {names}")
    state.screen.problems(report.problems, "files set aside")
    if report.oddest:
        names = ", ".join(f"{item.path.name} ({item.score:.3g})" for item in report.oddest[:10])
        state.screen.say(f"held-out good parts that the line's model finds oddest: {names}")
    state.screen.problems(report.odd, "photographs unlike the others: look at them")
    if report.near_duplicates:
        pairs = [f"{first.name} = {second.name}" for first, second in report.near_duplicates]
        state.screen.say(
            f"nearly the same photograph, kept on one side of the split: {', '.join(pairs[:10])}"
            + (f" and {len(pairs) - 10} more pairs" if len(pairs) > 10 else "")
        )
    document = with_problems(with_problems(asdict(report), "problems"), "odd")
    document["near_duplicates"] = [[str(path) for path in pair] for pair in report.near_duplicates]
    document["oddest"] = [{**item, "path": str(item["path"])} for item in document["oddest"]]
    document["is_enough"] = report.is_enough
    page = project.root / "reports" / f"{line}-check.html"
    write_check_report(document, page, max_pixels=project.config.line(line).images.max_pixels)
    state.screen.say(f"report: {page}")
    return {**document, "report_html": str(page)}


def with_problems(document: dict[str, Any], key: str) -> dict[str, Any]:
    """A document whose problems name their files as text."""
    problems = [{**problem, "path": str(problem["path"])} for problem in document[key]]
    return {**document, key: problems}

"""`cdm-inspect bench`: detectors side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from cdm_inspect.cli.arguments import (
    Device,
    Line,
    Overrides,
)
from cdm_inspect.cli.context import Context

if TYPE_CHECKING:
    from cdm_inspect.project import Project

from cdm_inspect.cli.evaluate import between, optional


def bench(
    context: typer.Context,
    line: Line,
    data: Annotated[Path, typer.Option(help="Labelled folder in the MVTec layout.")],
    scorer: Annotated[
        list[str] | None,
        typer.Option("--scorer", help="One of them; may be given again. All if none is."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Judge at most so many parts.", min=10)] = None,
    device: Device = "auto",
    overrides: Overrides = None,
) -> None:
    """Detectors side by side: quality and speed of scorers, built in and of plugins."""
    state: Context = context.obj
    project = state.open(line, overrides)
    own = project.config.line(line).scorer
    wanted = scorer or list(project.registry.scorers)
    names = [own, *dict.fromkeys(name for name in wanted if name != own)]
    state.screen.finish(_bench_line(state, project, line, data, names, limit=limit, device=device))


def _bench_line(
    state: Context,
    project: Project,
    line: str,
    data: Path,
    scorers: list[str],
    *,
    limit: int | None,
    device: str,
) -> dict[str, Any]:
    """Detectors side by side in one table."""
    from cdm_inspect.workflows.bench import bench as compare_scorers

    with state.screen.counting(f"bench {line}") as tick:
        document = compare_scorers(
            project,
            line,
            data,
            scorers,
            device=device,
            limit=limit,
            tick=lambda step, done, total: tick(done, total, step),
        )
    rows = document["rows"]
    state.screen.table(
        f"Line {line} on {rows[0]['n_good']} good and {rows[0]['n_defective']} defective parts "
        "(95 % intervals)",
        (
            "scorer",
            "image AUROC",
            f"against {document['compared_with']}",
            "pixel AUROC",
            "AUPRO 0.3",
            "escapes",
            "false rejects",
            "s/image",
            "s to fit",
        ),
        [
            (
                row["scorer"],
                f"{row['image_AUROC']:.3f}{between(row['image_AUROC_interval'])}",
                _difference(row["against_first"]),
                optional(row["pixel_AUROC"]),
                optional(row["pixel_AUPRO"]),
                f"{row['escape_rate']:.1%}",
                f"{row['false_reject_rate']:.1%}",
                f"{row['seconds_per_image']:.3f}",
                "-" if row["seconds_to_fit"] is None else f"{row['seconds_to_fit']:.0f}",
            )
            for row in rows
        ],
    )
    for row in rows:
        state.screen.say(f"{row['scorer']}: {escape(row['summary'])}")
    for name, why in document["left_out"].items():
        state.screen.say(f"[yellow]{name} left out:[/yellow] {escape(why)}")
    state.screen.say(f"report: {escape(document['report'])}")
    return document


def _difference(found: dict[str, Any] | None) -> str:
    if found is None or found["low"] is None:
        return "-"
    return f"{found['difference']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})"

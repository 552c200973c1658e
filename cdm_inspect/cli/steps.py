"""One step of the story on the screen: run a workflow, show what came out, return it as JSON."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from cdm_inspect.cli.rendering import Screen

if TYPE_CHECKING:
    from cdm_inspect.config import ProjectConfig
    from cdm_inspect.plugins.contracts import VerdictStore
    from cdm_inspect.project import Project
    from cdm_inspect.records import JsonObject, TrainingTick


@dataclass(frozen=True)
class Context:
    """What the options before the command say."""

    root: Path
    screen: Screen

    def open(self, line: str | None = None, overrides: list[str] | None = None) -> Project:
        """The project, with the plugins loaded."""
        from cdm_inspect.project import open_project

        return open_project(self.root, line=line, overrides=overrides or [])

    # What follows is for the commands of plugins; see `contracts.CommandHost`.

    def say(self, text: str) -> None:
        """One line for people, as it is."""
        self.screen.say(escape(text))

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table for people, of texts as they are."""
        self.screen.table(title, header, [[escape(cell) for cell in row] for row in rows])

    def finish(self, document: JsonObject) -> None:
        """The one JSON document, if it was asked for."""
        self.screen.finish(document)

    def configuration(self) -> ProjectConfig:
        """The project file, checked."""
        return self.open().config

    def open_store(self) -> VerdictStore:
        """The store that the project names."""
        return self.open().open_store()


def check(
    state: Context,
    project: Project,
    line: str,
    *,
    budget: str | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Read every good part; a table of what is usable, what is odd, and each problem."""
    from cdm_inspect import workflows
    from cdm_inspect.workflows.reports.check_report import write_check_report

    with state.screen.counting("check") as tick:
        report = workflows.check(project, line, tick=tick)
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
    state.screen.problems(report.odd, "photographs unlike the others: look at them")
    if report.near_duplicates:
        pairs = [f"{first.name} = {second.name}" for first, second in report.near_duplicates]
        state.screen.say(
            f"nearly the same photograph, kept on one side of the split: {', '.join(pairs[:10])}"
            + (f" and {len(pairs) - 10} more pairs" if len(pairs) > 10 else "")
        )
    document = _with_problems(_with_problems(asdict(report), "problems"), "odd")
    document["near_duplicates"] = [[str(path) for path in pair] for pair in report.near_duplicates]
    document["contamination"], document["is_enough"] = None, report.is_enough
    if budget is not None:
        document["contamination"] = _find_contamination(state, project, line, budget, device)
    page = project.root / "reports" / f"{line}-check.html"
    write_check_report(document, page, max_pixels=project.config.line(line).images.max_pixels)
    state.screen.say(f"report: {page}")
    return {**document, "report_html": str(page)}


def _find_contamination(
    state: Context, project: Project, line: str, budget: str, device: str
) -> dict[str, Any]:
    """Train on each half, judge the other, and list the parts that look least like good ones."""
    from cdm_inspect.workflows.contamination import find_contamination

    with state.screen.counting(f"contamination {line}") as tick:
        found = find_contamination(
            project,
            line,
            budget=budget,
            device=device,
            told=lambda share: tick(round(1000 * share), 1000),
        )
    low, high = found.share_interval
    listed: list[dict[str, Any]] = [
        {
            "path": str(suspect.path),
            "sha256": suspect.sha256,
            "oddness": suspect.oddness,
            "decision": suspect.decision,
        }
        for suspect in found.listed
    ]
    state.screen.table(
        f"The tenth of {len(found.suspects)} good parts that looks least like the others",
        ("file", "robust SD above the median"),
        [(Path(item["path"]).name, f"{item['oddness']:.1f}") for item in listed],
    )
    state.screen.say(
        f"about {found.share:.1%} of these parts stand out as none ({low:.1%} to {high:.1%}); look "
        "at the list whatever this figure says: defects that look no odder than soiled good parts "
        "cannot be counted"
    )
    return {
        "scorer": found.scorer,
        "share": found.share,
        "share_interval": [low, high],
        "parts": len(found.suspects),
        "listed": listed,
    }


def train(
    state: Context,
    project: Project,
    line: str,
    *,
    device: str = "auto",
    devices: int = 1,
    resume: bool = False,
) -> dict[str, Any]:
    """Train with a progress bar; a table of what was seen and what it cost."""
    from cdm_inspect import workflows

    # Lightning sets its own level when it is imported; what it says, our own screen says.
    for name in ("lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with state.screen.training(f"train {line}") as show:
            told: set[str] = set()

            def tick(at: TrainingTick) -> None:
                show(at)
                for warning in at.warnings:
                    if warning not in told:
                        told.add(warning)
                        state.screen.say(f"[yellow]warning:[/yellow] {warning}")

            report = workflows.train(
                project, line, device=device, devices=devices, resume=resume, tick=tick
            )
    except KeyboardInterrupt:
        state.screen.say(f"stopped; go on with: cdm-inspect train --line {line} --resume")
        raise
    ratio = report.consistency_cost_ratio
    state.screen.facts(
        f"Line {line}: model {report.model}",
        [
            ("parameters", f"{report.parameters:,} on {report.device}, {report.precision}"),
            ("good parts", f"{report.n_train} trained on, {report.n_held_out} held out"),
            ("seen", f"{report.images_seen:,} crops, {report.images_per_second:.1f} a second"),
            ("DSM loss", f"{report.loss_dsm:.4f}, held out {report.loss_held_out:.4f}"),
            ("consistency", _loss(report.loss_consistency)),
            ("its cost", "not measured" if ratio is None else f"{ratio:.2f} x a step without"),
        ],
    )
    state.screen.problems(report.set_aside, "files set aside")
    return _with_problems(asdict(report), "set_aside")


def _loss(value: float) -> str:
    return f"{value:+.2e}" if math.isfinite(value) else "never on"


def diagnose(
    state: Context,
    project: Project,
    line: str,
    *,
    compare: Path | None,
    parts: int,
    report: Path | None,
    device: str,
) -> dict[str, Any]:
    """Measure the model; one table by noise level, one by steps, then the warnings."""
    from cdm_inspect import workflows

    with state.screen.counting(f"diagnose {line}") as tick:
        document = workflows.diagnose(
            project, line, compare=compare, parts=parts, report=report, device=device, tick=tick
        )
    for found in filter(None, (document, document.get("compare"))):
        levels = ("dsm_train", "dsm_held_out", "overfit", "gap", "curl", "z_squared")
        state.screen.table(
            f"Model {found['model']}: {found['n_held_out']} held-out good parts",
            ("sigma", "DSM training", "DSM held out", "overfit", "gap", "curl", "z²"),
            [
                (f"{row['sigma']:g}", *(_estimate(row[name]) for name in levels))
                for row in found["levels"]
            ],
        )
        state.screen.table(
            "Restored parts",
            ("from noise", "steps", "drift", "pushed back"),
            [
                (
                    f"{row['start']:g}",
                    str(row["steps"]),
                    _estimate(row["drift"]),
                    _estimate(row["returned"]),
                )
                for row in found["drifts"]
            ],
        )
        for warning in found["warnings"]:
            state.screen.say(f"[yellow]warning:[/yellow] {warning}")
    state.screen.say(f"figures: {escape(document['report'])}")
    return document


def pilot(
    state: Context,
    project: Project,
    line: str,
    *,
    budget: str,
    seeds: int,
    parts: int | None,
    data: Path | None,
    labelled: int | None,
    report: Path | None,
    device: str,
) -> dict[str, Any]:
    """Run what is left of a pilot; a table of differences, the answer, and where the page is."""
    from cdm_inspect.workflows.pilot.running import plan_pilot, run_pilot
    from cdm_inspect.workflows.reports.pilot_report import endpoint_name, write_pilot_report

    plan, good = plan_pilot(
        project, line, budget=budget, seeds=seeds, parts=parts, data=data, labelled=labelled
    )
    state.screen.say(
        f"{len(plan.runs)} runs of {plan.seconds:.0f} s on {plan.parts} good parts; "
        "an interrupted pilot goes on where it stopped"
    )
    try:
        with state.screen.piloting(f"pilot {line}") as tick:
            document = run_pilot(project, plan, good, device=device, tick=tick)
    except KeyboardInterrupt:
        state.screen.say("stopped; the same command goes on from here")
        raise
    destination = report or project.root / "reports" / f"{line}-pilot.html"
    write_pilot_report(document, destination)
    state.screen.table(
        "Differences over seeds, 95 % interval",
        ("measure", "compared", "reference", "difference"),
        [
            (
                endpoint_name(row["endpoint"], "en"),
                f"{row['arm']} - {row['reference']}",
                f"{row['reference_mean']:.4g}",
                f"{row['difference']:+.3g} \\[{row['low']:+.3g}, {row['high']:+.3g}]",
            )
            for row in document["comparisons"]
        ],
    )
    verdict = document["verdict"]
    state.screen.say(f"[bold]{verdict['answer']}[/bold] ({verdict['rule']}: {verdict['endpoint']})")
    state.screen.say(f"report: {destination}")
    return {**document, "report": str(destination)}


def drift(state: Context, project: Project, line: str, **options: Any) -> dict[str, Any]:
    """Follow what was inspected; says what the charts promise and what they have found."""
    from cdm_inspect import workflows
    from cdm_inspect.monitoring.drift import alarms_by_chart, describe_alarm

    document = workflows.drift(project, line, **options)
    rows = [
        (
            name,
            str(chart["parts"]),
            f"{chart['shift']:g} sd after {chart['delay']:.0f} parts",
            f"{chart['level']:.1f} of {chart['limit']:.1f}",
            str(chart["calls"]),
        )
        for name, chart in document["charts"].items()
    ]
    header = ("chart", "parts", "finds, on average", "stands at", "alarms")
    began = document["since"]["calibration"]
    state.screen.table(f"Line {line} since calibration {began}", header, rows)
    one = next(iter(document["charts"].values()))
    together = one["between_false_alarms"] / (len(rows) + len(document["left_out"]))
    state.screen.say(
        f"False alarms: one in {together:,.0f} parts that are "
        "independent of each other, in nine lines of ten; more where parts come in lots."
    )
    for name, why in document["left_out"].items():
        state.screen.say(f"[yellow]note:[/yellow] no chart of {name}: {why}")
    for name, found in alarms_by_chart(document["alarms"]).items():
        for alarm, which in zip(found, ("first", "latest"), strict=False):
            told = f"{name}, {which}" if len(found) > 1 else name
            state.screen.say(f"[red]alarm[/red] {told}: {describe_alarm(alarm)}")
    if document["alarms"]:
        state.screen.say(
            "Look at light, focus and the parts themselves. If they are as they should be, "
            "add photographs of them to the good parts, train and calibrate."
        )
    return document


def exports_of(project: Project, line: str) -> list[str]:
    """Names that a line was exported under."""
    folder = project.export_folder(line, "")
    return sorted(path.parent.name for path in folder.glob("[!.]*/manifest.json"))


def lines(state: Context, project: Project) -> dict[str, Any]:
    """A table of the lines: what each is set to, and whether it is trained and calibrated."""
    rows, document = [], []
    for name, config in sorted(project.config.lines.items()):
        has_model = (project.model_folder(name) / "manifest.json").is_file()
        is_calibrated = (project.calibration_folder(name) / f"{config.scorer}.json").is_file()
        entry = {
            "line": name,
            "preset": config.preset,
            "scorer": config.scorer,
            "normal": config.normal,
            "is_trained": has_model,
            "is_calibrated": is_calibrated,
            "exports": (exports := exports_of(project, name)),
        }
        document.append(entry)
        rows.append([*(str(value) for value in list(entry.values())[:-1]), ", ".join(exports)])
    header = ("line", "preset", "scorer", "good parts", "trained", "calibrated", "exported")
    state.screen.table("Lines", header, rows)
    return {"lines": document}


def _estimate(row: dict[str, float]) -> str:
    return f"{row['value']:.3g} \\[{row['low']:.3g}, {row['high']:.3g}]"


def _with_problems(document: dict[str, Any], key: str) -> dict[str, Any]:
    problems = [{**problem, "path": str(problem["path"])} for problem in document[key]]
    return {**document, key: problems}

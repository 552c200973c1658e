"""The commands. Each opens the project, runs one workflow, and shows what came out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from cdm_inspect.cli import (
    evaluations,
    exporting,
    judging,
    plugging,
    reporting,
    serving,
    steps,
    thresholds,
)
from cdm_inspect.cli.arguments import Device, Line, Overrides, ScorerName
from cdm_inspect.cli.doctor import doctor
from cdm_inspect.cli.rendering import Screen
from cdm_inspect.cli.steps import Context
from cdm_inspect.cli.storing import store_app
from cdm_inspect.config import PROJECT_FILE
from cdm_inspect.errors import CheckpointMismatch, ConfigError, InvalidOption

if TYPE_CHECKING:
    from cdm_inspect.project import Project

app = typer.Typer(
    name="cdm-inspect",
    cls=plugging.CommandsOfPlugins,
    help="Learns from photographs of good parts, flags the odd ones, and lets people judge them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


AllScorers = Annotated[bool, typer.Option("--all-scorers", help="Every installed scorer.")]


@app.callback()
def options(
    context: typer.Context,
    project: Annotated[
        # Before --help, which lists the commands of the plugins that the project allows.
        Path, typer.Option(help="Project directory.", is_eager=True)
    ] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False,
) -> None:
    """Options of every command."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s")
    context.obj = Context(root=project, screen=Screen(as_json=as_json))


@app.command()
def init(
    context: typer.Context,
    line: Line = "A",
    normal: Annotated[str, typer.Option(help="Folder of good parts.")] = "",
) -> None:
    """Write a commented cdm-inspect.toml for one line."""
    state: Context = context.obj
    file = state.root / PROJECT_FILE
    if file.exists():
        raise ConfigError(f"{file} is there already; add a table [lines.{line}] to it.")
    state.root.mkdir(parents=True, exist_ok=True)
    folder = normal or f"data/{line}/train/good"
    template = Path(__file__).with_name("project_template.toml").read_text(encoding="utf-8")
    file.write_text(template.format(line=line, normal=folder), encoding="utf-8")
    state.screen.say(f"wrote {file}. Put photographs of good parts into {folder}, then run")
    state.screen.say(f"  cdm-inspect check --line {line}")
    state.screen.say(f"  cdm-inspect train --line {line}")
    state.screen.finish({"file": str(file), "line": line})


@app.command()
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
    contamination: Annotated[
        bool, typer.Option("--contamination", help="Also train briefly: which look defective?")
    ] = False,
    budget: Annotated[str, typer.Option(help="Training time of --contamination.")] = "4m",
    device: Device = "auto",
    overrides: Overrides = None,
) -> None:
    """Read every good part and say which cannot be used, which are odd, and why."""
    from cdm_inspect import workflows

    state: Context = context.obj
    project = state.open(line, overrides)
    if accept or exclude or manifest:
        file = workflows.review_parts(
            project, line, accept=accept or [], exclude=exclude or [], is_complete=manifest
        )
        state.screen.say(f"manifest: {file}")
    time = budget if contamination else None
    state.screen.finish(steps.check(state, project, line, budget=time, device=device))


@app.command()
def train(
    context: typer.Context,
    line: Line,
    preset: Annotated[str | None, typer.Option(help="tiny, small or base.")] = None,
    budget: Annotated[str | None, typer.Option(help="Wall-clock, such as 20m.")] = None,
    images: Annotated[str | None, typer.Option(help="Images to see, such as 2M.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a stopped run.")] = False,
    device: Device = "auto",
    devices: Annotated[int, typer.Option(help="How many to train on.")] = 1,
    precision: Annotated[str | None, typer.Option(help="32-true, bf16-mixed, ...")] = None,
    overrides: Overrides = None,
) -> None:
    """Train the model of a line on its good parts."""
    state: Context = context.obj
    if budget is not None and images is not None:
        raise InvalidOption("--budget and --images exclude each other; give one.")
    given = {
        "preset": preset,
        "training.budget": budget,
        "training.images": "" if budget is not None else images,
        "training.precision": precision,
    }
    # As quoted TOML strings, so that "20" is text and not a number.
    short = [f"{key}='{value}'" for key, value in given.items() if value is not None]
    project = state.open(line, [*(overrides or []), *short])
    state.screen.finish(
        steps.train(state, project, line, device=device, devices=devices, resume=resume)
    )


@app.command()
def calibrate(
    context: typer.Context,
    line: Line,
    max_false_reject: Annotated[
        str | None, typer.Option(help="Share of good parts that may be flagged, such as 0.5%.")
    ] = None,
    confidence: Annotated[
        str | None, typer.Option(help="With which that share is kept, such as 95%.")
    ] = None,
    cost_escape: Annotated[
        float | None, typer.Option(help="Of a defective part that passes.", min=0)
    ] = None,
    cost_false_reject: Annotated[
        float | None, typer.Option(help="Of a good part that is rejected.", min=0)
    ] = None,
    cost_review: Annotated[
        float | None, typer.Option(help="Of a minute of a person who looks at parts.", min=0)
    ] = None,
    defect_share: Annotated[
        str | None, typer.Option(help="Expected share of defective parts, such as 1%.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what is in force and why; change nothing.")
    ] = False,
    scorer: ScorerName = None,
    all_scorers: AllScorers = False,
    device: Device = "auto",
    overrides: Overrides = None,
) -> None:
    """Set the thresholds: by a false-reject rate, or, where a cost is given, by lowest cost."""
    state: Context = context.obj
    costs = {
        "escape": cost_escape,
        "false_reject": cost_false_reject,
        "review_minute": cost_review,
        "defect_share": None if defect_share is None else thresholds.parse_share(defect_share),
    }
    short = thresholds.overrides_of_rule(max_false_reject, confidence, costs)
    project = state.open(line, [*(overrides or []), *short])
    names = _scorers(project, line, scorer, all_scorers)
    if explain:
        found = {name: thresholds.explain(state, project, line, name) for name in names}
        more = {"scorers": found} if all_scorers else {}
        state.screen.finish({**found[names[0]], **more})
        return
    results = _each(
        state, names, lambda name: thresholds.calibrate(state, project, line, name, device=device)
    )
    if short:
        where = escape(f"[lines.{line}]")
        state.screen.say(f"to keep this rule, write it under {where}; see docs/decisions.md")
    document = results[names[0]]
    if all_scorers:
        document = {**document, "scorers": results}
    state.screen.finish(document)


@app.command()
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
    names = _scorers(project, line, scorer, all_scorers)

    def judge(name: str) -> dict[str, Any]:
        # One picture a scorer.
        own = report.with_stem(f"{report.stem}-{name}") if report and all_scorers else report
        is_first = name == names[0]
        return evaluations.evaluate(
            state,
            project,
            line,
            data,
            name,
            report=own,
            synthetic=synthetic and is_first,
            robustness=robustness and is_first,
            compare=compare if is_first else None,
            margin=thresholds.parse_share(margin),
            device=device,
        )

    results = _each(state, names, judge)
    evaluations.show_evaluations(state, list(results.values()))
    document = results[names[0]]
    state.screen.say(f"report: {escape(document['report_html'])}")
    if all_scorers:
        document = {**document, "scorers": results}
    state.screen.finish(document)


@app.command()
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
    state.screen.finish(
        evaluations.bench(state, project, line, data, names, limit=limit, device=device)
    )


@app.command()
def diagnose(
    context: typer.Context,
    line: Line,
    compare: Annotated[
        Path | None, typer.Option(help="Folder of another model of the line.")
    ] = None,
    parts: Annotated[int, typer.Option(help="At most so many held-out parts.", min=2)] = 24,
    report: Annotated[Path | None, typer.Option(help="Where the PNG page goes.")] = None,
    device: Device = "auto",
    overrides: Overrides = None,
) -> None:
    """Measure a model on held-out good parts: overfit, martingale gap, curl, drift."""
    state: Context = context.obj
    project = state.open(line, overrides)
    state.screen.finish(
        steps.diagnose(
            state, project, line, compare=compare, parts=parts, report=report, device=device
        )
    )


@app.command()
def pilot(
    context: typer.Context,
    line: Line,
    budget: Annotated[str, typer.Option(help="Training time of all runs together.")] = "20m",
    seeds: Annotated[int, typer.Option(help="Of each arm, at least 3.")] = 3,
    parts: Annotated[
        int | None, typer.Option(help="Train on at most so many good parts.", min=8)
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Labelled folder, for AUROC, escapes and costs.")
    ] = None,
    labelled: Annotated[
        int | None, typer.Option(help="Judge at most so many labelled parts.", min=10)
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Where the HTML page goes.")] = None,
    device: Device = "auto",
    overrides: Overrides = None,
) -> None:
    """Does the consistency term pay on this line? Trains with and without, and says go or no-go."""
    state: Context = context.obj
    project = state.open(line, overrides)
    state.screen.finish(
        steps.pilot(
            state,
            project,
            line,
            budget=budget,
            seeds=seeds,
            parts=parts,
            data=data,
            labelled=labelled,
            report=report,
            device=device,
        )
    )


@app.command()
def sample(
    context: typer.Context,
    line: Line,
    count: Annotated[int, typer.Option("-n", "--count", help="Parts to draw.", min=1)] = 16,
    sampler: Annotated[
        str, typer.Option(help="heun, dpm-solver, ancestral or euler-maruyama.")
    ] = "heun",
    sampler_steps: Annotated[int, typer.Option("--steps", help="Of the sampler.", min=2)] = 18,
    sigma_max: Annotated[float, typer.Option(help="Noise level to start from.", min=0.01)] = 80.0,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Where the PNG grid goes.")] = None,
    device: Device = "auto",
    overrides: Overrides = None,
) -> None:
    """Draw good parts from the model: what it has understood of the line."""
    from cdm_inspect import workflows

    state: Context = context.obj
    project = state.open(line, overrides)
    path = workflows.sample(
        project,
        line,
        count=count,
        sampler=sampler,
        steps=sampler_steps,
        sigma_max=sigma_max,
        seed=seed,
        device=device,
        destination=out,
    )
    state.screen.say(f"{count} parts drawn: {path}")
    state.screen.finish({"line": line, "count": count, "sampler": sampler, "file": str(path)})


@app.command()
def drift(
    context: typer.Context,
    line: Line,
    shift: Annotated[
        float, typer.Option(help="Change to find, in standard deviations.", min=0.1)
    ] = 1.0,
    between_false_alarms: Annotated[
        float, typer.Option(help="Parts, on average, while nothing changes.", min=100)
    ] = 20_000,
    scorer: ScorerName = None,
) -> None:
    """Has the line changed since it was calibrated? By passed parts and by how all were taken."""
    state: Context = context.obj
    project = state.open(line)
    state.screen.finish(
        steps.drift(
            state,
            project,
            line,
            scorer=scorer,
            shift=shift,
            between_false_alarms=between_false_alarms,
        )
    )


@app.command()
def demo(
    context: typer.Context,
    directory: Annotated[Path, typer.Option(help="Where the line is written.")] = Path("demo-line"),
    budget: Annotated[str | None, typer.Option(help="Training time; 3m if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Of the synthetic photographs.")] = 0,
) -> None:
    """Make a small synthetic line and walk through the whole product on it."""
    from cdm_inspect.cli.walk import walk_demo

    state: Context = context.obj
    state.screen.finish(walk_demo(state, directory, budget=budget, seed=seed))


@app.command()
def lines(context: typer.Context) -> None:
    """What lines are configured, and how far each has come."""
    state: Context = context.obj
    state.screen.finish(steps.lines(state, state.open()))


app.command()(judging.inspect)
app.command()(judging.watch)
app.command()(serving.serve)
app.command()(reporting.report)
app.command()(exporting.export)
app.command()(exporting.parity)
app.command()(doctor)
app.command()(plugging.plugins)
app.command()(plugging.deliver)
app.command("import")(plugging.import_parts)
app.command()(plugging.new_plugin)
app.add_typer(store_app, name="store")


def _scorers(project: Project, line: str, scorer: str | None, all_scorers: bool) -> list[str]:
    if all_scorers and scorer is not None:
        raise InvalidOption("--scorer and --all-scorers exclude each other; give one.")
    own = project.config.line(line).scorer
    if all_scorers:
        return [own, *(name for name in project.registry.scorers if name != own)]
    return [scorer or own]


def _each(
    state: Context, names: list[str], step: Callable[[str], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What a step says of each scorer; all but the first may be unfit for the line's model."""
    results = {names[0]: step(names[0])}
    for name in names[1:]:
        try:
            results[name] = step(name)
        except CheckpointMismatch as error:
            state.screen.say(f"[yellow]{name} left out:[/yellow] {error}")
    return results

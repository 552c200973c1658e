"""`cdm-inspect doctor`: is everything as it should be?"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING

import typer
from rich.filesize import decimal
from rich.markup import escape

from cdm_inspect.cli.context import Context
from cdm_inspect.encoding import as_json
from cdm_inspect.errors import PLUGIN_EXCEPTIONS, CdmInspectError

if TYPE_CHECKING:
    from cdm_inspect.monitoring.health import Check
    from cdm_inspect.plugins import Registry
    from cdm_inspect.records import JsonObject

_BYTES = ("free", "total")
_STATES = {True: "[green]good[/green]", False: "[red]wrong[/red]", None: "-"}


def doctor(context: typer.Context) -> None:
    """Say whether machine, store, files, anchors and plugins are as they should be; 1 if not."""
    from cdm_inspect.monitoring.health import check_health

    state: Context = context.obj
    project = state.open()
    with ExitStack() as opened:
        checks = [
            *check_health(project, lambda: opened.enter_context(project.open_store())),
            check_devices(),
            check_plugins(project.registry),
        ]
    state.screen.table(
        "doctor",
        ("what", "state", "found"),
        [(c.name, _STATES[c.is_good], escape(_told(c.facts))) for c in checks],
    )
    for check in checks:
        if check.problem:
            state.screen.say(f"[red]{check.name}:[/red] {escape(check.problem)}")
    is_good = all(check.is_good is not False for check in checks)
    state.screen.finish({"is_good": is_good, "checks": [as_json(asdict(c)) for c in checks]})
    if not is_good:
        raise typer.Exit(1)


def check_devices() -> Check:
    """GPUs that PyTorch sees, and providers of ONNX Runtime; of what is not installed nothing."""
    from cdm_inspect.monitoring.health import Check

    facts: JsonObject = {}
    problems = []
    for package, look in (("torch", _find_gpus), ("onnxruntime", _find_providers)):
        try:
            found = look()
        except CdmInspectError as error:
            problems.append(str(error))
        except PLUGIN_EXCEPTIONS as error:
            problems.append(
                f"{package} cannot be loaded: {type(error).__name__}: {error}. Install it again."
            )
        else:
            facts |= {} if found is None else {package: found}
    is_good = False if problems else None
    return Check(name="devices", is_good=is_good, facts=facts, problem=" ".join(problems))


def check_plugins(registry: Registry) -> Check:
    """Whether all that is installed and allowed is sound."""
    from cdm_inspect.monitoring.health import Check

    refused = [row for row in registry.rows if row.status in ("refused", "partly refused")]
    return Check(
        name="plugins",
        is_good=not refused,
        facts={row.name: row.status for row in registry.rows},
        problem=" ".join(f"{row.name}: {row.reason}" for row in refused),
    )


def _find_gpus() -> list[str] | None:
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return None
    gpus = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    return [torch.cuda.get_device_name(number) for number in gpus]


def _find_providers() -> list[str] | None:
    from cdm_inspect.inspection.exported.onnx_graph import onnx_runtime

    if find_spec("onnxruntime") is None:
        return None
    return list(onnx_runtime().get_available_providers())


def _told(facts: JsonObject) -> str:
    return "; ".join(f"{name} {_worded(name, value)}" for name, value in facts.items())


def _worded(name: str, value: object) -> str:
    if name in _BYTES and isinstance(value, int):
        return decimal(value)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)

"""`cdm-inspect store`: the records are checked, copied, upgraded and thinned out."""

from __future__ import annotations

import datetime as dt
import getpass
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from cdm_inspect.cli.context import Context
from cdm_inspect.config.units import parse_duration
from cdm_inspect.errors import InvalidOption, StorageError

if TYPE_CHECKING:
    from cdm_inspect.records import InspectionQuery

store = typer.Typer(
    help="The store: check, copy, upgrade and thin out its records.", no_args_is_help=True
)

LineName = Annotated[str | None, typer.Option("--line", help="Of one line.")]
Lot = Annotated[str | None, typer.Option(help="Of one lot.")]
Serial = Annotated[str | None, typer.Option(help="Of the part with this number.")]
Since = Annotated[dt.datetime | None, typer.Option(help="Inspected at or after, local time.")]
Until = Annotated[dt.datetime | None, typer.Option(help="Inspected before, local time.")]


@store.command()
def create(context: typer.Context) -> None:
    """Set up an empty store, also beside what is left of one that was lost."""
    state: Context = context.obj
    state.open().store_upkeep().create()
    state.screen.say("An empty store was set up.")
    state.screen.finish({"created": True})


@store.command()
def verify(
    context: typer.Context,
    anchor: Annotated[
        Path | None, typer.Option(help="A copy of the anchors, kept elsewhere.")
    ] = None,
    files: Annotated[
        bool, typer.Option("--files", help="Read every image and heat map as well.")
    ] = False,
) -> None:
    """Check the record of decisions for edits, deletions, reordering and a tail cut off."""
    state: Context = context.obj
    with state.screen.counting("verify") as tick:
        found = (
            state.open()
            .store_upkeep()
            .verify(anchor=anchor, has_files=files, progress=_stepwise(tick))
        )
    at = found.anchored_at
    state.screen.finish({**asdict(found), "anchored_at": at.isoformat() if at else None})
    if found.first_bad is not None:
        raise StorageError(
            f"the audit chain is broken at entry {found.first_bad}. Entries before it are sound; "
            "keep the database as it is and restore a backup beside it to compare."
        )
    if found.unlike:
        raise StorageError(
            f"the records of {len(found.unlike)} parts, the first of them {found.unlike[0]}, say "
            "another verdict or decision than the audit chain, which is whole: somebody has "
            "changed them. Restore a backup beside the database to compare."
        )
    if found.bad_files:
        raise StorageError(
            f"{len(found.bad_files)} of {found.files} files are missing or changed, the first of "
            f"them {found.bad_files[0]}. Restore them from a backup."
        )
    anchored = f", as {found.anchors} anchors say" if found.anchors else "; there are no anchors"
    read = "" if found.files is None else f" {found.files} files are what they were."
    state.screen.say(f"{found.entries} audit entries, the chain is whole{anchored}.{read}")


@store.command()
def anchor(context: typer.Context) -> None:
    """Write down outside the database where the record of decisions stands; done daily anyway."""
    state: Context = context.obj
    found = state.open().store_upkeep().anchor()
    state.screen.say(
        f"Entry {found.entries} of the audit chain is anchored: {found.head}"
        if found.entries
        else "There is no audit entry yet, and nothing to anchor."
    )
    state.screen.finish({"entries": found.entries, "head": found.head, "anchors": found.anchors})


@store.command()
def upgrade(
    context: typer.Context,
    has_backup: Annotated[
        bool, typer.Option("--has-backup", help="A backup of the server's database was made.")
    ] = False,
) -> None:
    """Bring the records of an earlier version to the form of this one; all of it or nothing."""
    state: Context = context.obj
    before, backup = state.open().store_upkeep().upgrade(has_backup=has_backup)
    if not before:
        state.screen.say("The store is up to date.")
    else:
        copy = f" What it was is kept in {backup}." if backup else ""
        state.screen.say(f"The store was upgraded from schema {before}.{copy}")
    state.screen.finish({"upgraded_from": before or None, "backup": backup or None})


@store.command()
def backup(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Of backups; one that is there is added to.")],
) -> None:
    """Copy all records and files as of this moment, while others go on writing."""
    state: Context = context.obj
    with state.screen.counting("backup") as tick:
        copied = state.open().store_upkeep().backup(folder, progress=_stepwise(tick))
    state.screen.say(
        f"{copied.rows['inspection']} inspections, {copied.rows['decision']} decisions and "
        f"{copied.files} files are in {folder}."
    )
    state.screen.finish(asdict(copied))
    if copied.missing_files:
        raise StorageError(
            f"{copied.missing_files} images or heat maps are missing in the store or damaged, and "
            "so not in the backup. `cdm-inspect store verify --files` names them."
        )


@store.command()
def restore(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Of backups, whose newest counts, or of one.")],
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Only prove that it can be restored; change nothing."),
    ] = False,
) -> None:
    """Make the store from a backup, SQLite or PostgreSQL, and check counts, chain and files."""
    state: Context = context.obj
    with state.screen.counting("restore") as tick:
        copied = (
            state.open().store_upkeep().restore(folder, is_trial=verify, progress=_stepwise(tick))
        )
    said = "can be restored from" if verify else "were restored from"
    state.screen.say(
        f"{copied.rows['inspection']} inspections, {copied.rows['decision']} decisions and "
        f"{copied.files} files {said} {folder}; the audit chain is whole."
    )
    state.screen.finish(asdict(copied))
    if copied.bad_files:
        raise StorageError(
            f"{len(copied.bad_files)} images or heat maps are missing in the backup or damaged, "
            f"the first of them {copied.bad_files[0]}. All records are there."
        )


@store.command()
def prune(
    context: typer.Context,
    apply: Annotated[
        bool, typer.Option("--apply", help="Delete; without it, what would be is only counted.")
    ] = False,
) -> None:
    """Delete parts past the time that store.retention gives them, and files nothing needs."""
    state: Context = context.obj
    project = state.open()
    limits = {
        name: dt.timedelta(seconds=parse_duration(age))
        for name, age in project.config.store.retention
        if age
    }
    with state.screen.counting("prune") as tick:
        pruned = project.store_upkeep().prune(limits, is_dry=not apply, progress=_stepwise(tick))
    did = "deleted" if apply else "would be deleted"
    for name, parts in pruned.parts.items():
        held = f", {pruned.held[name]} more are held" if pruned.held[name] else ""
        state.screen.say(f"{parts} parts, {name}, {did}{held}.")
    if not limits:
        state.screen.say("store.retention keeps every part for ever.")
    state.screen.say(
        f"{pruned.files} files that nothing needs ({pruned.bytes / 1e6:.1f} MB) and "
        f"{pruned.temporaries} left half written {did}."
    )
    if not apply:
        state.screen.say("Nothing was changed. To delete, add --apply.")
    state.screen.finish({**asdict(pruned), "applied": apply})


@store.command()
def hold(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why; stays with the parts and in the audit.")],
    line: LineName = None,
    lot: Lot = None,
    serial: Serial = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Keep parts from being pruned: a legal hold."""
    _hold(context, _query(line, lot, serial, since, until), reason, ends=False)


@store.command()
def unhold(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Of the hold that ends; others stay.")],
    line: LineName = None,
    lot: Lot = None,
    serial: Serial = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """End a legal hold."""
    _hold(context, _query(line, lot, serial, since, until), reason, ends=True)


@store.command()
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Ends in .csv or .parquet.")],
    line: LineName = None,
    lot: Lot = None,
    serial: Serial = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Write inspections and decisions as a table, for spreadsheets and data tools."""
    from cdm_inspect.monitoring.record_table import export_records

    state: Context = context.obj
    query = _query(line, lot, serial, since, until)
    with state.open().open_store() as store, state.screen.counting("export") as tick:
        rows = export_records(store, query, file, progress=_stepwise(tick))
    state.screen.say(f"{rows} inspections are in {file}.")
    state.screen.finish({"file": str(file), "rows": rows})


def _hold(context: typer.Context, query: InspectionQuery, reason: str, *, ends: bool) -> None:
    from cdm_inspect.records import InspectionQuery

    state: Context = context.obj
    if query == InspectionQuery():
        raise InvalidOption("name the parts: --line, --lot, --serial, --since or --until.")
    if not reason.strip():
        raise InvalidOption("expected the reason of the hold, found none.")
    upkeep = state.open().store_upkeep()
    changed = upkeep.hold(query, reason, ends=ends, who=getpass.getuser())
    did = "no longer held for" if ends else "held for"
    state.screen.say(f"{changed} parts are {did}: {escape(reason)}")
    state.screen.finish({"changed": changed, "reason": reason})


def _query(
    line: str | None,
    lot: str | None,
    serial: str | None,
    since: dt.datetime | None,
    until: dt.datetime | None,
) -> InspectionQuery:
    from cdm_inspect.records import InspectionQuery

    return InspectionQuery(
        line=line,
        lot=lot,
        serial=serial,
        since=since.astimezone() if since else None,
        until=until.astimezone() if until else None,
    )


def _stepwise(tick: Callable[..., Any]) -> Callable[[str, int, int], None]:
    return lambda what, done, total: tick(done, total, what)

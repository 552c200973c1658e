"""The commands of `cdm-inspect store`."""

from __future__ import annotations

from typing import Annotated

import typer

from cdm_inspect.cli.steps import Context
from cdm_inspect.errors import StorageError

store_app = typer.Typer(help="The store: check and upgrade its records.", no_args_is_help=True)


@store_app.command()
def verify(context: typer.Context) -> None:
    """Check the chain of decisions for edits, deletions and reordering."""
    state: Context = context.obj
    with state.open().open_store() as store:
        check_chain = getattr(store, "verify", None)
        if check_chain is None:
            raise StorageError("this store keeps no audit chain that could be verified.")
        count, bad = check_chain()
    if bad is not None:
        raise StorageError(
            f"the audit chain is broken at entry {bad}. Entries before it are sound; keep the "
            "database as it is and restore a backup beside it to compare."
        )
    state.screen.say(f"{count} audit entries, the chain is whole.")
    state.screen.finish({"entries": count, "first_bad": bad})


@store_app.command()
def upgrade(
    context: typer.Context,
    has_backup: Annotated[
        bool, typer.Option("--has-backup", help="A backup of the server's database was made.")
    ] = False,
) -> None:
    """Bring the records of an earlier version to the form of this one; all of it or nothing."""
    state: Context = context.obj
    before, backup = state.open().upgrade_store(has_backup=has_backup)
    if not before:
        state.screen.say("The store is up to date.")
    else:
        copy = f" What it was is kept in {backup}." if backup else ""
        state.screen.say(f"The store was upgraded from schema {before}.{copy}")
    state.screen.finish({"upgraded_from": before or None, "backup": backup or None})

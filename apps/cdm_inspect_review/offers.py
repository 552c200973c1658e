"""What the review app adds to the program: its commands, loaded once they are used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cdm_inspect.plugins import CommandOffer, hookimpl


def _dashboard() -> Any:
    from cdm_inspect_review.cli.dashboard import dashboard

    return dashboard


def _users() -> Any:
    from cdm_inspect_review.cli.users import users_app

    return users_app


@hookimpl
def cdm_inspect_commands() -> Iterable[CommandOffer]:
    """`dashboard` and `users`."""
    yield CommandOffer(
        contract=1,
        name="dashboard",
        summary="Serve the review app to browsers (stops with Ctrl-C).",
        build=_dashboard,
    )
    yield CommandOffer(
        contract=1,
        name="users",
        summary="Users: who may log in to the review app, and as what.",
        build=_users,
    )

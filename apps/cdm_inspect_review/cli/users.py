"""`cdm-inspect users`: who may log in."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdm_inspect.errors import InvalidOption
from cdm_inspect.plugins import CommandHost
from cdm_inspect.project import open_project
from cdm_inspect.roles import Role, administrator

if TYPE_CHECKING:
    from cdm_inspect_review.users import User

users_app = typer.Typer(
    help="Users: who may log in to the review app, and as what.", no_args_is_help=True
)

_LONGEST_FILE = 8192

Name = Annotated[str, typer.Argument(help="Under which things are recorded.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(help="File with the password in one line; - for standard input."),
]


@users_app.command("list")
def list_users(context: typer.Context) -> None:
    """All users, those as well who may no longer log in."""
    from cdm_inspect_review.users import USERS_FILE, Accounts

    host: CommandHost = context.obj
    users = Accounts(open_project(host.root).root / USERS_FILE).users()
    rows = [
        (
            user.name,
            user.role.value,
            "yes" if user.is_active else "no",
            f"{user.changed_at.astimezone():%Y-%m-%d %H:%M}",
        )
        for user in users
    ]
    if rows:
        host.table("Users", ("name", "role", "may log in", "changed"), rows)
    else:
        host.say("There are no users. Add one: cdm-inspect users add NAME --role engineer")
    host.finish({"users": [_document(user) for user in users]})


@users_app.command()
def add(
    context: typer.Context,
    name: Name,
    role: Annotated[Role, typer.Option(help="What they may do; see docs/users.md.")],
    password_file: PasswordFile = None,
) -> None:
    """Let somebody log in; asks for a password twice, unless a file has it."""
    from cdm_inspect_review.users import USERS_FILE, Accounts, checked_name

    host: CommandHost = context.obj
    project = open_project(host.root)
    accounts = Accounts(project.root / USERS_FILE)
    checked_name(name)  # before anybody types a password in vain
    # What cannot be recorded is not done.
    with project.open_store() as store:
        user = accounts.add(
            name, role, _password(password_file), by=administrator(), record=store.record_event
        )
    host.say(f"{user.name} may log in as {user.role.value}.")
    host.finish({"user": _document(user)})


@users_app.command()
def change(
    context: typer.Context,
    name: Name,
    role: Annotated[Role | None, typer.Option(help="From now on.")] = None,
    is_active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="Whether they may log in.")
    ] = None,
    password: Annotated[
        bool, typer.Option("--password", help="Ask twice for a new password.")
    ] = False,
    password_file: PasswordFile = None,
) -> None:
    """Change role or password, or bar somebody; ends their sessions. Nobody is ever deleted."""
    from cdm_inspect_review.users import USERS_FILE, Accounts

    host: CommandHost = context.obj
    has_password = password or password_file is not None
    if role is None and is_active is None and not has_password:
        raise InvalidOption(
            "expected what to change, found nothing: --role, --password, --password-file, "
            "--active or --inactive."
        )
    project = open_project(host.root)
    accounts = Accounts(project.root / USERS_FILE)
    with project.open_store() as store:
        user = accounts.change(
            name,
            role=role,
            is_active=is_active,
            password=_password(password_file) if has_password else None,
            by=administrator(),
            record=store.record_event,
        )
    said = f"may log in as {user.role.value}" if user.is_active else "may not log in"
    host.say(f"{user.name} {said}.")
    host.finish({"user": _document(user)})


def _password(file: Path | None) -> str:
    """The password from a file or, twice, from the terminal; never from the command line."""
    if file is not None:
        return _password_in(file)
    if not sys.stdin.isatty():
        raise InvalidOption(
            "there is no terminal to ask for the password. Give --password-file FILE, or - for "
            "standard input."
        )
    try:
        first = getpass.getpass("Password: ")
        again = getpass.getpass("Again: ")
    except EOFError:
        raise InvalidOption("no password was typed. Nothing was changed.") from None
    if first != again:
        raise InvalidOption("the two passwords differ. Nothing was changed; do it again.")
    return first


def _password_in(file: Path) -> str:
    if str(file) == "-":
        data = sys.stdin.buffer.read(_LONGEST_FILE + 1)
    else:
        try:
            with file.open("rb") as opened:
                data = opened.read(_LONGEST_FILE + 1)
        except OSError as error:
            raise InvalidOption(
                f"--password-file {file} cannot be read: {error.strerror or error}."
            ) from error
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        lines = []
    if len(lines) != 1 or len(data) > _LONGEST_FILE:
        raise InvalidOption(
            f"--password-file {file}: expected one line of UTF-8 text, the password. Nothing was "
            "changed."
        )
    return lines[0]


def _document(user: User) -> dict[str, Any]:
    return {
        "name": user.name,
        "role": user.role.value,
        "is_active": user.is_active,
        "changed_at": user.changed_at.isoformat(),
    }

"""`cdm-inspect serve`: a line's verdicts over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cdm_inspect.cli.arguments import Device, Overrides, Runtime
from cdm_inspect.cli.context import Context
from cdm_inspect.cli.inspect import open_inspector
from cdm_inspect.config.hosts import LOCAL
from cdm_inspect.errors import InvalidOption

_SHORTEST_TOKEN = 16


def serve(
    context: typer.Context,
    line: Annotated[list[str], typer.Option("--line", "-l", help="A line; may be given again.")],
    port: Annotated[int, typer.Option(help="Of the server.", min=1, max=65_535)] = 8480,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token that clients must bear.")
    ] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="Name that clients call; may be given again.")
    ] = None,
    device: Device = "auto",
    runtime: Runtime = "torch",
    overrides: Overrides = None,
) -> None:
    """Judge photographs that come over HTTP: Open Inference Protocol v2, health, metrics."""
    token = None if token_file is None else _read_token(token_file)
    if address not in LOCAL and token is None:
        raise InvalidOption(
            f"--address {address} is open to other machines; that takes a --token-file, so that "
            "not everybody can make up verdicts."
        )
    try:
        import uvicorn

        from cdm_inspect.inspection.http_service import Service
    except ModuleNotFoundError as error:
        raise InvalidOption(
            f"serving needs {error.name}. Run: pip install 'cdm-inspect[station]'."
        ) from error
    state: Context = context.obj
    lines = {}
    for name in line:
        project = state.open(name, overrides)
        inspector = open_inspector(project, name, scorer=None, device=device, runtime=runtime)
        lines[name] = project, inspector
    hosts = [*(host or []), *LOCAL, address]
    if wild := [name for name in hosts if "*" in name]:
        raise InvalidOption(f"--host {wild[0]}: expected the name of a machine, found a pattern.")
    service = Service(lines, token=token, hosts=hosts)
    service.open()
    state.screen.say(f"serving {', '.join(line)} at http://{address}:{port} (Ctrl-C stops it)")
    uvicorn.run(
        service.app,
        host=address,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
    )


def _read_token(file: Path) -> str:
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOption(f"--token-file {file} cannot be read: {error}.") from error
    if len(token) < _SHORTEST_TOKEN or len(token.split()) != 1:
        raise InvalidOption(
            f"--token-file {file}: expected one word of at least {_SHORTEST_TOKEN} letters. Make "
            "one with: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token

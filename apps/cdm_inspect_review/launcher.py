"""Starting the review app."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import socket
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cdm_inspect.config.hosts import EVERYWHERE, LOCAL
from cdm_inspect.errors import CdmInspectError, ConfigError, InvalidOption

if TYPE_CHECKING:
    from cdm_inspect.project import Project

PROJECT_VARIABLE = "CDM_INSPECT_PROJECT"
ADDRESS_VARIABLE, PORT_VARIABLE = "CDM_INSPECT_ADDRESS", "CDM_INSPECT_PORT"
OIDC_VARIABLE = "CDM_INSPECT_OIDC"
"""Not empty where the plant's own login says who people are."""

OIDC_FILE = Path(".streamlit") / "secrets.toml"
"""Where Streamlit keeps what it takes to ask the plant's own login, below the project."""
_OIDC_KEYS = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
_SHORTEST_SECRET = 32
_CALLBACK = "/oauth2callback"
# Of a proxy on this machine; `FORWARDED_ALLOW_IPS` names others.
_PROXIES = "127.0.0.1,::1"
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]")


def run_dashboard(
    project: Project,
    *,
    port: int,
    address: str,
    is_kiosk: bool,
    say: Callable[[str], None],
) -> None:
    """Replace this process by the app's server.

    Args:
        port: to listen on.
        address: of this machine, to listen on.
        is_kiosk: whether to name the address of the desk alone, for a screen on the floor.
        say: shows a line.

    Raises:
        AccessError: if others can read the users, or the secrets of the plant's login.
        CdmInspectError: if Streamlit is not installed.
        ConfigError: if the plant's login, or the hosts, are described wrongly.
        InvalidOption: if nobody would have to log in where others may come, or the address and port
            cannot be listened on.
    """
    _require("streamlit")
    root, hosts = project.root.resolve(), project.config.review.hosts
    _check_hosts(hosts)
    login = _oidc(project)
    if login is not None:
        _require("authlib")
    if login is None and address not in LOCAL:
        _require_users(root, f"--address {address} is open to other machines")
    elif login is None and hosts:
        _require_users(root, "hosts of [review] let others come, through a proxy perhaps")
    _check_port(address, port)
    environment = {
        **os.environ,
        PROJECT_VARIABLE: str(root),
        ADDRESS_VARIABLE: address,
        PORT_VARIABLE: str(port),
        OIDC_VARIABLE: "1" if login is not None else "",
    }
    environment.setdefault("FORWARDED_ALLOW_IPS", _PROXIES)
    say(f"review app: {_web_address(address, port, hosts, is_kiosk)}  (Ctrl-C stops it)")
    if address not in LOCAL:
        say(_about_names(address, hosts))
    sys.stdout.flush()
    os.execve(  # noqa: S606 - our own interpreter and module
        sys.executable,
        # What lies in the folder that it was started from is no part of the program.
        [sys.executable, "-P", "-m", "cdm_inspect_review.server"],
        environment,
    )


def _require(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise CdmInspectError(
            f"the review app needs {module}. Run: pip install 'cdm-inspect[dashboard]'."
        )


def _require_users(root: Path, why: str) -> None:
    """Others may come only where somebody asks who they are."""
    from cdm_inspect_review.users import USERS_FILE, Accounts

    if not Accounts(root / USERS_FILE).exist:
        raise InvalidOption(
            f"{why}, and nobody would have to log in. Add users: cdm-inspect users add NAME --role "
            f"engineer; or describe the plant's own login ([auth]) in {root / OIDC_FILE}. Without "
            "either the app is for this machine only."
        )


def _oidc(project: Project) -> Path | None:
    """The file that describes the plant's own login, checked; None if it describes none."""
    from cdm_inspect_review.sessions import read_private

    path = project.root.resolve() / OIDC_FILE
    data = read_private(path)
    if data is None:
        return None
    try:
        found = tomllib.loads(data.decode("utf-8")).get("auth")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is no TOML: {error}. Correct it.") from error
    if found is None:
        return None
    problems = _problems_of(found, project.config.review.hosts)
    if not project.config.review.oidc.roles:
        problems.append("[review.oidc.roles] of the project file gives no group a role")
    if problems:
        raise ConfigError(
            f"{path}: nobody could log in by [auth]. Correct it, or remove it.", problems
        )
    return path


def _problems_of(auth: Any, hosts: Sequence[str]) -> list[str]:
    """What is wrong with `[auth]`. What is secret is not repeated."""
    if not isinstance(auth, dict):
        return ["[auth]: expected a table"]
    problems = [
        f"auth.{key}: expected a text, found none"
        for key in _OIDC_KEYS
        if not isinstance(auth.get(key), str) or not auth[key]
    ]
    if problems:
        return problems
    # Whoever guesses it can write the cookies of anybody.
    if len(auth["cookie_secret"]) < _SHORTEST_SECRET:
        problems.append(
            f"auth.cookie_secret: expected {_SHORTEST_SECRET} characters or more. Make one with: "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    back = urlsplit(auth["redirect_uri"])
    if back.path != _CALLBACK or not back.hostname:
        problems.append(f"auth.redirect_uri: expected the app's address with {_CALLBACK}")
    elif not _is_known(back.hostname, hosts):
        problems.append(
            f"auth.redirect_uri: {back.hostname} is not among the hosts of [review] in the project "
            "file. Add it there"
        )
    problems += [
        f"auth.{key}: expected https, for on the way others could read or change it"
        for key in ("redirect_uri", "server_metadata_url")
        if not _is_private(auth[key])
    ]
    return problems


def _is_known(host: str, hosts: Sequence[str]) -> bool:
    names = [name.lower() for name in (*LOCAL, *hosts)]
    return any(
        host in (name, name.strip("[]")) or (name.startswith("*.") and host.endswith(name[1:]))
        for name in names
    )


def _is_private(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL)


def _check_hosts(hosts: Sequence[str]) -> None:
    wrong = [name for name in hosts if not _HOST.fullmatch(name)]
    if wrong:
        raise ConfigError(
            "hosts of [review]: expected names of machines, such as review.plant.example, or "
            f"*.plant.example, without a scheme or a port; found {', '.join(map(repr, wrong))}."
        )


def _check_port(address: str, port: int) -> None:
    """Find out before the server starts, which would say it in its own way.

    Raises:
        InvalidOption: if it cannot listen there.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            if os.name == "posix":  # elsewhere it would take the port of another program
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            probe.listen(1)
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise InvalidOption(
                f"--address {address}: expected an address of this machine, which this is not. "
                "127.0.0.1 is for this machine only, 0.0.0.0 for all that can reach it."
            ) from error
        if error.errno == errno.EADDRINUSE:
            raise InvalidOption(
                f"--port {port}: another program listens there, perhaps another review app. Stop "
                "it, or give another --port."
            ) from error
        raise InvalidOption(
            f"--address {address} --port {port} cannot be listened on: "
            f"{error.strerror or error}. Give others; ports below 1024 often take rights."
        ) from error


def _web_address(address: str, port: int, hosts: Sequence[str], is_kiosk: bool) -> str:
    """What people type; of all addresses, one that leads here."""
    host = f"[{address}]" if ":" in address else address
    if address in EVERYWHERE:
        named = [name for name in hosts if not name.startswith("*")]
        host = named[0] if named else "localhost"
    return f"http://{host}:{port}/{'?kiosk=1' if is_kiosk else ''}"


def _about_names(address: str, hosts: Sequence[str]) -> str:
    """Which names lead here. Those that are not listed do not, or anybody could make one up."""
    known = "localhost" if address in EVERYWHERE else f"localhost, {address}"
    return (
        f"browsers reach it as {', '.join([known, *hosts])}; add other names, or addresses, of "
        f"this machine to hosts of [review] in the project file (perhaps "
        f"{socket.gethostname()!r}). Put a proxy with TLS before it: passwords cross the network."
    )

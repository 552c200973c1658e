"""Starting the review app."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path

from cdm_inspect.errors import CdmInspectError, InvalidOption

PROJECT_VARIABLE = "CDM_INSPECT_PROJECT"
LOCAL = ("127.0.0.1", "localhost", "::1")


def review_app() -> Path:
    """The app's script: inside an installed wheel, or in a source tree.

    Raises:
        CdmInspectError: if it is in neither.
    """
    package = Path(__file__).resolve().parents[1]
    candidates = (
        package / "_review_app" / "app.py",
        package.parent / "apps" / "review" / "app.py",
    )
    for path in candidates:
        if path.is_file():
            return path
    raise CdmInspectError(
        f"the review app is missing ({candidates[0]}). Install cdm-inspect again."
    )


def run_dashboard(root: Path, *, port: int, address: str, say: Callable[[str], None]) -> None:
    """Replace this process by the app's server.

    Raises:
        CdmInspectError: if Streamlit is not installed.
        InvalidOption: if the address is open to others: the app has no login of its own yet.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise CdmInspectError(
            "the review app needs Streamlit. Run: pip install 'cdm-inspect[dashboard]'."
        )
    if address not in LOCAL:
        raise InvalidOption(
            f"--address {address}: the app has no login of its own yet, so it listens on this "
            "machine only. Put a proxy with a login before it."
        )
    server = review_app().with_name("server.py")
    environment = {
        **os.environ,
        PROJECT_VARIABLE: str(root),
        "CDM_INSPECT_ADDRESS": address,
        "CDM_INSPECT_PORT": str(port),
    }
    say(f"review app: http://{address}:{port}  (Ctrl-C stops it)")
    sys.stdout.flush()
    os.execve(  # noqa: S606 - our own interpreter and script
        sys.executable, [sys.executable, str(server)], environment
    )

"""What the tests need of the system, asked for before any of them runs.

    python tests/needs.py

Prints nothing where all is there; else one line that says what to install, and ends with 1.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
import sys

# The shell comes first: it draws pages alone, without the windows around them.
_BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def found_chromium() -> str | None:
    """Path of a Chromium."""
    named = os.environ.get("CDM_INSPECT_CHROMIUM")
    return named or next(filter(None, map(shutil.which, _BROWSERS)), None)


def missing() -> list[str]:
    """Debian's names of what is not there."""
    has = {
        "chromium": found_chromium(),
        "mosquitto": shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto"),
        "libpangoft2-1.0-0": ctypes.util.find_library("pangoft2-1.0"),
        "util-linux": shutil.which("unshare"),
    }
    return [name for name, found in has.items() if not found]


def main() -> None:
    """Say what to install."""
    if names := missing():
        fonts = ["fonts-noto-cjk"] if "chromium" in names else []
        print(
            f"the tests need {', '.join(names)}. On Debian or Ubuntu run: "
            f"apt-get install {' '.join([*names, *fonts])}",
            file=sys.stderr,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()

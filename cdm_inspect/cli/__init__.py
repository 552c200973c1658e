"""The command line, one module a verb; nothing heavy is imported before a command needs it."""

from __future__ import annotations

import io
import os
import sys

from cdm_inspect.errors import CdmInspectError, PluginError, StorageError

# What the extra `train` installs and a station lacks.
_OF_TRAINING = (
    *("torch", "torchvision", "lightning", "torchmetrics", "sklearn", "matplotlib"),
    *("imagehash", "onnx", "onnxscript"),
)


def _show_error(text: str) -> None:
    from cdm_inspect.cli.rendering import show_error

    show_error(text)


def main() -> None:
    """Run the command line and exit with the code of the error tree in `cdm_inspect.errors`."""
    # Pydantic would read what every installed package says of itself, in search of its own plugins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from cdm_inspect.cli.app import app

    # No step needs the network; without this, libraries below would wait for it.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    for stream in (sys.stdout, sys.stderr):
        # A file name may hold bytes that are no text; that must not end a shift.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if "--json" in sys.argv:
        # Whatever a plugin prints must not stand beside the one document.
        from cdm_inspect.cli.rendering import keep_for_json

        keep_for_json(sys.stdout)
        sys.stdout = sys.stderr
    try:
        app()
    except CdmInspectError as error:
        _show_error(str(error))
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _OF_TRAINING:
            raise
        _show_error(
            f"this needs {error.name}, which is not installed. Run: pip install "
            "'cdm-inspect[train]'. A station judges by what was exported: --runtime onnx."
        )
        sys.exit(PluginError.exit_code)
    except OSError as error:
        # A full disk, a folder without rights, a share that is gone: no fault of the program.
        _show_error(
            f"{error.filename or 'a file'} cannot be used: {error.strerror or error}. Free space "
            "there, correct the rights, or name another place."
        )
        sys.exit(StorageError.exit_code)
    # The last resort: a person on the shop floor cannot read a traceback.
    except Exception as error:
        if "-v" in sys.argv or "--verbose" in sys.argv:
            raise
        _show_error(
            f"unexpected {type(error).__name__}: {error}\n"
            "This is a fault of cdm-inspect. Run again with -v and report what it prints."
        )
        sys.exit(1)

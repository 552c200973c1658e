"""Every error the product raises on purpose.

    CdmInspectError (exit code 1)
    ├── ConfigError (2): UnknownLine, InvalidOption
    ├── PluginError (3): PluginUnavailable, PluginInvalid, PluginConflict, PluginFailed
    ├── ImageError (4): UnreadableImage, TooFewImages
    ├── TrainingError (5): TrainingDiverged
    ├── CheckpointError (6): CheckpointCorrupt, CheckpointMismatch
    ├── CalibrationError (7): NotCalibrated
    ├── ExportError (8): ExportMismatch
    ├── StorageError (9): StoreUnreachable, DecisionConflict, DamagedFile
    └── AccessError (10): NotAllowed

The number is the exit code of the command line. A message says what was expected, what was found,
and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

# What a plugin's code may raise that must end nothing but itself; Ctrl-C is not among it.
PLUGIN_EXCEPTIONS: tuple[type[BaseException], ...] = (Exception, SystemExit)


class CdmInspectError(Exception):
    """Root of all errors raised on purpose."""

    exit_code: ClassVar[int] = 1


class ConfigError(CdmInspectError):
    """The configuration cannot be used; `problems` lists every mistake, not only the first."""

    exit_code = 2

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__("\n  ".join([message, *self.problems]))


class UnknownLine(ConfigError):
    """A line was named that no configuration file describes."""


class InvalidOption(ConfigError):
    """An option of a command cannot be used as given."""


class PluginError(CdmInspectError):
    """Something about a plugin."""

    exit_code = 3


class PluginUnavailable(PluginError):
    """A plugin that the line names is not installed or could not be loaded."""


class PluginInvalid(PluginError):
    """A plugin offers something that breaks the contract of its hook."""


class PluginConflict(PluginError):
    """Two plugins offer the same name."""


class PluginFailed(PluginError):
    """A plugin raised, or returned what its contract forbids, while it worked."""


class ImageError(CdmInspectError):
    """Something about an image or a folder of images."""

    exit_code = 4


class UnreadableImage(ImageError):
    """One image file cannot be judged.

    Attributes:
        reason: a stable word (`empty`, `truncated`, `too_large`, ...) for tables and filters.
    """

    def __init__(self, message: str, *, reason: str) -> None:
        self.reason = reason
        super().__init__(message)


class TooFewImages(ImageError):
    """Not enough usable good parts are left."""


class TrainingError(CdmInspectError):
    """Training cannot start or go on."""

    exit_code = 5


class TrainingDiverged(TrainingError):
    """The loss left the range in which training makes sense."""


class CheckpointError(CdmInspectError):
    """Something about a trained model on disk."""

    exit_code = 6


class CheckpointCorrupt(CheckpointError):
    """The files of a model are damaged or do not belong together."""


class CheckpointMismatch(CheckpointError):
    """A sound model that does not fit what is asked of it."""


class CalibrationError(CdmInspectError):
    """Something about thresholds."""

    exit_code = 7


class NotCalibrated(CalibrationError):
    """No calibration fits this model and scorer."""


class ExportError(CdmInspectError):
    """A model cannot be exported."""

    exit_code = 8


class ExportMismatch(ExportError):
    """The exported model does not say what the trained one says."""


class StorageError(CdmInspectError):
    """The store cannot be opened, read or written."""

    exit_code = 9


class StoreUnreachable(StorageError):
    """The store does not answer, or another program holds it; the same may work a little later."""


class FileLocked(StorageError):
    """Another program holds what one has to have alone."""


class DamagedFile(StorageError):
    """A photograph or heat map is not where the store keeps it, or is not what it was."""


class DecisionConflict(StorageError):
    """Somebody else has decided the part since it was shown."""


class AccessError(CdmInspectError):
    """Something about users, roles and logins."""

    exit_code = 10


class NotAllowed(AccessError):
    """Somebody may not do what they asked for."""


@contextmanager
def attribute_to_plugin(
    kind: type[CdmInspectError] = PluginFailed, sentence: str = "{error}"
) -> Iterator[None]:
    """Turn whatever a plugin's code raises into an error of the program; errors of ours pass.

    Args:
        sentence: for people; `{error}` stands for what was raised, with its class.
    """
    try:
        yield
    except CdmInspectError:
        raise
    except PLUGIN_EXCEPTIONS as error:
        said = sentence.replace("{error}", f"{type(error).__name__}: {error}")
        raise kind(said) from error

"""Making the report of a shift: the audit chain is anchored before, and tells of it after."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cdm_inspect.config import LineReviewConfig, ProjectConfig
from cdm_inspect.config.review import ReasonConfig
from cdm_inspect.config.shifts import Shift, shift_at
from cdm_inspect.encoding import sha256_of
from cdm_inspect.errors import InvalidOption
from cdm_inspect.monitoring.summary import LineStatistics, summarise_line
from cdm_inspect.plugins import StoreUpkeep, VerdictStore
from cdm_inspect.records import Event, JsonObject
from cdm_inspect.review.shift_report.page import has_pdf
from cdm_inspect.review.shift_report.table import collect_pictures, write_shift_report
from cdm_inspect.review.shift_report.wording import ChainHead, Picture, ShiftFacts
from cdm_inspect.roles import Actor, Right

FORMATS = ("html", "pdf", "csv")
SHIFT_REPORT = "shift-report"
"""Action of the event that tells of a report."""

FOLDER = "reports/shifts"
"""Below the project directory, where reports go unless somebody says otherwise."""

_MOMENT = dt.timedelta(microseconds=1)
_NOT_IN_A_NAME = re.compile(r"[^\w-]+")


@dataclass(frozen=True, kw_only=True)
class MadeReport:
    """A shift report that was made.

    Attributes:
        line: that it is about.
        statistics: that it tells.
        head: of the audit chain, which was anchored, and which the report carries.
        files: by format.
        sha256: of each file, by format; the audit chain tells them too.
    """

    line: str
    shift: Shift
    statistics: LineStatistics
    head: ChainHead
    files: Mapping[str, Path]
    sha256: Mapping[str, str]

    def to_json(self) -> JsonObject:
        """As `report --json` tells it."""
        return {
            "line": self.line,
            "day": self.shift.day.isoformat(),
            "shift": self.shift.number,
            "since": self.shift.since.isoformat(),
            "until": self.shift.until.isoformat(),
            "files": {name: str(path) for name, path in self.files.items()},
            "sha256": dict(self.sha256),
            "anchor": {"number": self.head.number, "hash": self.head.hash},
            "statistics": self.statistics.to_json(),
        }


def last_shift(config: ProjectConfig, now: dt.datetime) -> Shift:
    """The last shift that is over."""
    return shift_at(shift_at(now, config.review).since - _MOMENT, config.review)


def make_shift_report(
    store: VerdictStore,
    upkeep: StoreUpkeep,
    config: ProjectConfig,
    *,
    actor: Actor,
    line: str,
    shift: Shift,
    folder: Path,
    language: str,
    formats: Sequence[str] | None = None,
) -> MadeReport:
    """Anchor the audit chain, write the report with the anchored head, and record that.

    Files of an earlier report of the same shift stay: the number of the last entry is in the name.
    The shift may be going on still; the report says when it was made.

    Args:
        actor: who makes it; the report and the audit chain tell.
        shift: see `shifts.shift_of`.
        folder: in which the files are written.
        language: of the report, `en` or `ja`.
        formats: of `FORMATS`; None means HTML and CSV, and PDF where WeasyPrint is installed.

    Raises:
        NotAllowed: if the person may not.
        UnknownLine: if nobody knows the line.
        InvalidOption: if the shift has not begun, nothing is left of it, or a format or language is
            none of ours.
        StorageError: if the chain is not the one that was anchored last, or something cannot be
            written. Nothing is then recorded as made.
    """
    actor.require(Right.REPORT)
    if formats is None:
        formats = [name for name in FORMATS if name != "pdf" or has_pdf()]
    _see_that_it_can_be(store, config, line, shift, formats)
    found = summarise_line(store, line, since=shift.since, until=shift.until, config=config.review)
    anchored = upkeep.anchor()
    head = ChainHead(number=anchored.entries, hash=anchored.head)
    facts = ShiftFacts(
        made_by=actor.name,
        head=head,
        shift=shift,
        zone=config.review.zone,
        reasons=_reasons(config, line),
        pictures=_pictures(store, found, config, formats),
    )
    name = f"{_NOT_IN_A_NAME.sub('_', line)}-{shift.day.isoformat()}-{shift.number}-{head.number}"
    files = {ending: folder / f"{name}.{ending}" for ending in dict.fromkeys(formats)}
    for path in files.values():
        write_shift_report(found, path, language=language, facts=facts)
    hashes = {ending: sha256_of(path.read_bytes()) for ending, path in files.items()}
    made = MadeReport(
        line=line, shift=shift, statistics=found, head=head, files=files, sha256=hashes
    )
    store.record_event(_event(made, actor, language))
    return made


def _pictures(
    store: VerdictStore, found: LineStatistics, config: ProjectConfig, formats: Sequence[str]
) -> Mapping[int, Picture]:
    if not {"html", "pdf"} & set(formats):
        return {}
    return collect_pictures(store, found, max_pixels=config.most_pixels)


def _event(made: MadeReport, actor: Actor, language: str) -> Event:
    """What the audit chain says of a report."""
    return Event(
        action=SHIFT_REPORT,
        who=actor.name,
        role=actor.role.value,
        line=made.line,
        facts={
            "shift": made.shift.name,
            "since": made.shift.since.isoformat(),
            "until": made.shift.until.isoformat(),
            "language": language,
            "anchor": {"number": made.head.number, "hash": made.head.hash},
            "sha256": dict(made.sha256),
        },
    )


def _see_that_it_can_be(
    store: VerdictStore, config: ProjectConfig, line: str, shift: Shift, formats: Sequence[str]
) -> None:
    if line not in store.lines():
        config.line(line)
    if not formats or set(formats) - set(FORMATS):
        found = ", ".join(formats) or "none"
        raise InvalidOption(f"expected formats of {', '.join(FORMATS)}, found {found}.")
    if shift.since >= dt.datetime.now(dt.UTC):
        raise InvalidOption(
            f"shift {shift.name} begins at {shift.since.astimezone(config.review.zone)}. Make its "
            "report when it has begun."
        )
    if shift.since == shift.until:
        raise InvalidOption(
            f"nothing is left of shift {shift.name}: the clocks were set forward over it."
        )


def _reasons(config: ProjectConfig, line: str) -> tuple[ReasonConfig, ...]:
    known = config.lines.get(line)
    return (known.review if known is not None else LineReviewConfig()).reasons

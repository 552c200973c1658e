"""Entries of the audit chain as sentences; pure functions of entries."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from cdm_inspect.config.words import catalogue
from cdm_inspect.plugins import AuditEntry
from cdm_inspect.records import Purpose

Say = Callable[..., str]

_DIGITS = 12
# What a sentence may name as it is.
_NAMES = ("action", "inspection", "line", "parts", "first", "last", "shift", "user")


def short(digest: str) -> str:
    """The beginning of a hash, enough to compare by eye."""
    return digest[:_DIGITS]


def moment(text: object, zone: dt.tzinfo | None) -> str:
    """A time of an entry by the clocks of the plant; as it is, where it is none."""
    try:
        return f"{dt.datetime.fromisoformat(str(text)).astimezone(zone):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError):
        return "" if text is None else str(text)


def sentence(entry: Mapping[str, Any], word: Say, zone: dt.tzinfo | None) -> str:
    """What an entry tells, for people; its texts are theirs, and never markup."""
    facts = entry.get("facts")
    fields = {**(facts if isinstance(facts, Mapping) else {}), **entry}
    decision = str(fields.get("decision", ""))
    key = _key(entry, str(fields.get("kind", "")))
    text = word(
        key if key in catalogue() else "audit.did.other",
        **{name: fields.get(name, "") for name in _NAMES},
        **_kinds(fields, word),
        backup=moment(fields.get("backup"), zone),
        who=_person(entry, word),
        decision=_named(f"audit.decision.{decision}", decision, word),
        judged=", ".join(
            f"{word(f'audit.judged.{name}')} {short(str(entry[name]))}"
            for name in ("configuration", "model", "calibration")
            if name in entry
        ),
    )
    return " · ".join(filter(None, [text, *_remarks(entry, word)]))


def _key(entry: Mapping[str, Any], kind: str) -> str:
    """Of the sentence: by the action, and by what was the matter with it."""
    action = str(entry.get("action", "")).replace(" ", "-")
    if action == "refused" and f"audit.refused.{kind}" in catalogue():
        return f"audit.refused.{kind}"
    if action == "decide" and entry.get("purpose") == Purpose.DISAGREEMENT:
        return "audit.did.leave-open"
    return f"audit.did.{action}"


def kind(action: str, word: Say) -> str:
    """What kind of entry an action makes; as it is, where this program knows none of that name."""
    return _named(f"audit.kind.{action.replace(' ', '-')}", action, word)


def _kinds(fields: Mapping[str, Any], word: Say) -> dict[str, str]:
    """What the core has its own words for."""
    kept, alarm = str(fields.get("class", "")), str(fields.get("alarm", ""))
    chart, _, inspection = alarm.rpartition("/")
    if chart in catalogue():
        alarm = word("audit.alarm", chart=word(chart), inspection=inspection)
    return {"class": _named(f"audit.class.{kept}", kept, word), "alarm": alarm}


def _person(entry: Mapping[str, Any], word: Say) -> str:
    who = str(entry.get("who", "")) or word("audit.nobody")
    role = str(entry.get("role", ""))
    role = _named(f"role.{role}", role, word)
    return f"{who} ({role})" if role else who


def _named(key: str, otherwise: str, word: Say) -> str:
    return word(key) if key in catalogue() else otherwise


def _remarks(entry: Mapping[str, Any], word: Say) -> list[str]:
    purpose = str(entry.get("purpose", ""))
    why, comment = entry.get("reason"), entry.get("comment")
    return [
        _named(f"audit.purpose.{purpose}", purpose, word),
        f"{word('audit.reason')}: {why}" if why else "",
        f"{word('audit.comment')}: {comment}" if comment else "",
    ]


def rows(
    entries: list[AuditEntry], word: Say, zone: dt.tzinfo | None
) -> list[dict[str, str | int]]:
    """A table of entries, in their order."""
    return [
        {
            word("audit.number"): link.number,
            word("audit.when"): moment(link.entry.get("at"), zone),
            word("audit.who"): str(link.entry.get("who", "")),
            word("audit.what"): sentence(link.entry, word, zone),
            word("audit.hash"): short(link.hash),
        }
        for link in entries
    ]

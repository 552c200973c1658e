"""Tables of the page Administration; pure functions. Text of files and people goes into cells."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cdm_inspect.monitoring.health import Check
from cdm_inspect.plugins.offers import PluginRow
from cdm_inspect.roles import Right, Role, rights_of
from cdm_inspect_review.users import User

Word = Callable[..., str]
Row = dict[str, Any]

_NOTHING = "–"
_SIGNS = {True: "✔", False: "✖", None: _NOTHING}
_STATES = {True: "admin.good", False: "admin.bad", None: "admin.unknown"}


def user_rows(users: Sequence[User], word: Word, zone: dt.tzinfo | None) -> list[Row]:
    """All users, those as well who may no longer log in."""
    return [
        {
            word("admin.name"): user.name,
            word("admin.role"): word(f"role.{user.role.value}"),
            word("admin.active"): word("admin.yes" if user.is_active else "admin.no"),
            word("admin.changed"): f"{user.changed_at.astimezone(zone):%Y-%m-%d %H:%M}",
        }
        for user in users
    ]


def right_rows(word: Word) -> list[Row]:
    """What each role may do, beside looking."""
    return [
        {word("admin.right"): word(f"admin.right_{right.value.replace('-', '_')}")}
        | {
            word(f"role.{role.value}"): "✔" if right in rights_of(role) else _NOTHING
            for role in Role
        }
        for right in Right
    ]


def plugin_rows(rows: Iterable[PluginRow], word: Word) -> list[Row]:
    """What is installed, and what was refused."""
    return [
        {
            word("admin.plugin"): row.name,
            word("admin.distribution"): row.distribution,
            word("admin.version"): row.version,
            word("admin.status"): word(f"admin.status_{row.status.replace(' ', '-')}"),
            word("admin.offers"): ", ".join(_offer(offer, word) for offer in row.offers),
            word("admin.reason"): " ".join(
                filter(
                    None, [*(word(f"admin.trouble_{kind}") for kind in row.troubles), row.reason]
                )
            ),
        }
        for row in rows
    ]


def problems(checks: Iterable[Check], word: Word, zone: dt.tzinfo | None) -> list[str]:
    """What is wrong and what to do, in the reader's language; errors keep their sentence."""
    return [
        f"✖ {word(f'admin.check_{check.name}')}: {_problem(check, word, zone)}"
        for check in checks
        if check.problem
    ]


def health_rows(checks: Iterable[Check], word: Word, zone: dt.tzinfo | None) -> list[Row]:
    """What was looked at, whether it is as it should be, and what was found."""
    return [
        {
            word("admin.check"): word(f"admin.check_{check.name}"),
            word("admin.state"): f"{_SIGNS[check.is_good]} {word(_STATES[check.is_good])}",
            word("admin.found"): _found(check, word, zone),
        }
        for check in checks
        if check.name != "packages"
    ]


def package_rows(checks: Iterable[Check], word: Word) -> list[Row]:
    """What is installed in which version."""
    return [
        {word("admin.package"): name, word("admin.version"): str(found)}
        for check in checks
        if check.name == "packages"
        for name, found in check.facts.items()
    ]


def _offer(offer: str, word: Word) -> str:
    """What a plugin offers: its kind, then its name."""
    kind, _, name = offer.partition(" ")
    return f"{word(f'admin.offer_{kind}')} {name}"


def _problem(check: Check, word: Word, zone: dt.tzinfo | None) -> str:
    if check.kind is None:
        return check.problem
    shown = {"detail": check.problem, **check.facts}
    for name in ("last", "newest", "now"):
        if name in shown:
            at = dt.datetime.fromisoformat(shown[name])
            shown[name] = f"{at.astimezone(zone):%Y-%m-%d %H:%M}"
    if "free" in shown:
        shown["free"] = _gib(shown["free"])
    return word(f"admin.problem_{check.kind}", **shown)


def _gib(count: float) -> str:
    return f"{count / 2**30:,.1f}"


def _found(check: Check, word: Word, zone: dt.tzinfo | None) -> str:
    """The facts of a check in words."""
    facts = check.facts
    match check.name:
        case "store" if facts:
            lines = ", ".join(facts["lines"]) or _NOTHING
            return word("admin.found_store", lines=lines, waiting=facts["waiting"])
        case "schema" if "expected" in facts:
            found = facts["found"] or _NOTHING
            expected, where = facts["expected"], facts["where"]
            return word("admin.found_schema", found=found, expected=expected, where=where)
        case "disk" if "free" in facts:
            free, total = _gib(facts["free"]), _gib(facts["total"])
            return word("admin.found_disk", free=free, total=total, where=facts["where"])
        case "anchors":
            return _anchors(facts, word, zone)
        case "clock":
            return f"{facts['now'].replace('T', ' ')} {facts['zone']}"
    return ", ".join(str(value) for value in facts.values())


def _anchors(facts: dict[str, Any], word: Word, zone: dt.tzinfo | None) -> str:
    signed = word("admin.signed" if facts["signed"] else "admin.unsigned")
    if "last" not in facts:
        return f"{word('admin.no_anchors')} {signed} {facts['where']}"
    last = dt.datetime.fromisoformat(facts["last"]).astimezone(zone)
    return word(
        "admin.found_anchors",
        n=facts["anchors"],
        at=f"{last:%Y-%m-%d %H:%M}",
        hours=facts["age_hours"],
        signed=signed,
        where=facts["where"],
    )

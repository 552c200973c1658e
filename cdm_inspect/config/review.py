"""How people look at parts: reasons, samples, shifts."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Annotated

from pydantic import Field, field_validator

from cdm_inspect.config.sections import Section, Share
from cdm_inspect.roles import Role

_MOST_REASONS = 9
"""Each has a number key."""


class ReasonConfig(Section):
    """Why a part is rejected.

    Attributes:
        code: kept with the decision; short, and never changed once it is in use.
        en: what people read in English.
        ja: in Japanese.
    """

    code: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$")]
    en: Annotated[str, Field(min_length=1, max_length=40)]
    ja: Annotated[str, Field(min_length=1, max_length=40)]


_USUAL = tuple(
    ReasonConfig(code=en.lower().replace(" ", "-"), en=en, ja=ja)
    for en, ja in (
        ("Scratch", "キズ"),
        ("Dent", "打痕"),
        ("Stain", "汚れ"),
        ("Burr", "バリ"),
        ("Crack", "割れ"),
        ("Chip", "欠け"),
        ("Missing", "欠品"),
        ("Foreign matter", "異物"),
        ("Other", "その他"),
    )
)


class LineReviewConfig(Section):
    """What the people of one line are asked.

    Attributes:
        reasons: for which a part is rejected, in the order of the keys 1 to 9.
        audit_per_shift: parts that passed, drawn at random, for people to look at in a shift; only
            they tell how many defects escape.
        second_share: of decided parts that a second person judges without knowing the first.
        min_look_ms: a part that has been on the screen for less is not decided; a double press or
            a held key decides nothing that nobody has seen.
        lease_seconds: for which a part that is on somebody's screen is on nobody else's.
    """

    reasons: Annotated[tuple[ReasonConfig, ...], Field(min_length=1, max_length=_MOST_REASONS)] = (
        _USUAL
    )
    audit_per_shift: Annotated[int, Field(ge=0, le=10_000)] = 20
    second_share: Share = 0.05
    min_look_ms: Annotated[int, Field(ge=0, le=10_000)] = 200
    lease_seconds: Annotated[float, Field(ge=10.0, le=3600.0)] = 120.0

    @field_validator("reasons")
    @classmethod
    def _codes_differ(cls, value: tuple[ReasonConfig, ...]) -> tuple[ReasonConfig, ...]:
        codes = [reason.code for reason in value]
        if len(set(codes)) != len(codes):
            raise ValueError("each reason needs a code of its own")
        return value


class OidcConfig(Section):
    """What the plant's own login (OpenID Connect) says of people.

    Attributes:
        claim: that holds a person's roles or groups; dots lead into nested claims, such as
            realm_access.roles.
        roles: by name of a group. Of several that fit, the first in this table counts; who is in
            none of them may do nothing.
        name_claim: under which things are recorded.
    """

    claim: Annotated[str, Field(min_length=1, max_length=256)] = "roles"
    roles: dict[str, Role] = Field(default_factory=dict)
    name_claim: Annotated[str, Field(min_length=1, max_length=256)] = "email"


class ReviewConfig(Section):
    """The review app of a plant.

    Attributes:
        timezone: of the plant, such as Asia/Tokyo; "" means that of the machine.
        shifts: times of day at which a shift begins, ascending.
        session_hours: after which people have to log in again.
        hosts: names under which browsers may reach the app, beside those of this machine.
        oidc: who is what to the plant, where people log in elsewhere.
    """

    timezone: str = ""
    shifts: Annotated[tuple[dt.time, ...], Field(min_length=1, max_length=12)] = (
        dt.time(6),
        dt.time(14),
        dt.time(22),
    )
    session_hours: Annotated[float, Field(gt=0.0, le=168.0)] = 12.0
    hosts: tuple[str, ...] = ()
    oidc: OidcConfig = OidcConfig()

    @field_validator("timezone")
    @classmethod
    def _timezone_is_known(cls, value: str) -> str:
        if value and value not in zoneinfo.available_timezones():
            raise ValueError("expected a name of the IANA database, such as Asia/Tokyo")
        return value

    @field_validator("shifts")
    @classmethod
    def _shifts_ascend(cls, value: tuple[dt.time, ...]) -> tuple[dt.time, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("expected times of day that ascend, such as 06:00, 14:00, 22:00")
        if any(time.tzinfo is not None for time in value):
            raise ValueError("expected times without a zone; give it as timezone")
        return value

    @property
    def zone(self) -> dt.tzinfo | None:
        """Of the plant; None is that of the machine, as `datetime.astimezone` takes it."""
        return zoneinfo.ZoneInfo(self.timezone) if self.timezone else None

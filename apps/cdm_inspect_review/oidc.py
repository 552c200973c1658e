"""Who somebody is of whom the plant's own login (OpenID Connect) tells. Loads without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cdm_inspect.config.review import OidcConfig
from cdm_inspect.errors import AccessError
from cdm_inspect.roles import Actor
from cdm_inspect_review.users import checked_name

_NO_TIME = 1e12
"""Seconds since 1970 that no honest token names."""


def role_of_claims(claims: Mapping[str, Any], config: OidcConfig) -> Actor | None:
    """Who somebody is of whom the plant's own login (OpenID Connect) tells.

    Args:
        claims: of a token whose signature was checked.
        config: `[review.oidc]` of the project file.

    Returns:
        None if they are in no group that has a role, or have no name that can be recorded. An
        address that the login says was never verified is no name: anybody can claim it.
    """
    groups = _claim(claims, config.claim)
    held = {groups} if isinstance(groups, str) else _texts(groups)
    role = next((role for group, role in config.roles.items() if group in held), None)
    name = _claim(claims, config.name_claim)
    if role is None or not isinstance(name, str):
        return None
    # Some logins write it as text.
    is_verified = str(claims.get("email_verified", True)).casefold() == "true"
    if config.name_claim == "email" and not is_verified:
        return None
    try:
        return Actor(checked_name(name), role)
    except AccessError:
        return None


def is_expired(claims: Mapping[str, Any], now: float) -> bool:
    """Whether a token holds no more (claim `exp`, seconds since 1970), or does not say."""
    end = claims.get("exp")
    if not isinstance(end, (int, float)) or isinstance(end, bool):
        return True
    return not now < end < _NO_TIME


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its name, dots and all, or nested as the dots say; None if there is none."""
    if path in claims:
        return claims[path]
    first, _, rest = path.partition(".")
    inner = claims.get(first)
    return _claim(inner, rest) if rest and isinstance(inner, Mapping) else None


def _texts(value: object) -> set[str]:
    if not isinstance(value, (list, tuple)):
        return set()
    return {item for item in value if isinstance(item, str)}

"""What every offer has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

CONTRACT = 1
"""Version of everything in this package; an offer that names another is refused."""


class Options(BaseModel):
    """Base of the options a plugin accepts in the project file; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

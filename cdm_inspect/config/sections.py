"""What every table of the project file has in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cdm_inspect.errors import InvalidOption

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Cost = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Amount = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class Section(BaseModel):
    """A frozen table of the project file; unknown keys are refused."""

    # JSON has no infinity, which some limits may be.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


def checked(parse: Callable[[str], float], text: str) -> str:
    """A text that `parse` understands, as Pydantic's validators want it.

    Raises:
        ValueError: with what `parse` expected.
    """
    try:
        parse(text)
    except InvalidOption as error:
        raise ValueError(str(error).rstrip(".")) from error
    return text

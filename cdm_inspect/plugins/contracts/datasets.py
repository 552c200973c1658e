"""How collections of photographs that are kept in other ways come in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from cdm_inspect.plugins.contracts.options import Options

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

GOOD = "good"
"""The label of good parts."""


@dataclass(frozen=True, kw_only=True)
class DatasetPart:
    """One photograph of a collection.

    Attributes:
        name: unique in the collection; letters, digits, `-`, `_` and `.`, and `/` between folders.
        image: a file that is copied as it is, or pixels, (height, width, 1 or 3) uint8 or uint16,
            RGB order.
        label: "good", or a word for the defect.
        mask: a file, or (height, width), not zero where the defect is; None where nobody knows.
        is_for_training: whether it is a good part to learn from; labelled ones are for the test.
    """

    name: str
    image: Path | npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    label: str = GOOD
    mask: Path | npt.NDArray[np.uint8] | None = None
    is_for_training: bool = False


@dataclass(frozen=True, kw_only=True)
class ReaderOffer:
    """A reader of collections, by name.

    Attributes:
        read: receives where the collection is and the options; yields its parts one by one.
    """

    name: str
    summary: str
    read: Callable[[Path, Any], Iterable[DatasetPart]]
    options: type[BaseModel] = Options
    contract: int

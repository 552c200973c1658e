"""What was found among the good parts of a line, as one HTML page with the pictures in question."""

from __future__ import annotations

from pathlib import Path

import cv2

from cdm_inspect.check_words import WORDS
from cdm_inspect.errors import UnreadableImage
from cdm_inspect.images import read_image, to_display
from cdm_inspect.pages import LANGUAGES, data_url, words_of, write_page
from cdm_inspect.records import JsonObject

# A page with thousands of pictures helps nobody.
_MOST = 40
_SIDE = 200


def write_check_report(document: JsonObject, destination: Path) -> None:
    """Write the page of a check.

    Args:
        document: the JSON of `check`.
        destination: of the HTML.
    """
    pages = [_page(document, language) for language in LANGUAGES]
    write_page("check_report.html", destination, document, pages)


def _page(document: JsonObject, language: str) -> JsonObject:
    word = words_of(WORDS, language)
    counts = {
        name: ", ".join(f"{key}: {count}" for key, count in document[name].items())
        for name in ("sizes", "kinds")
    }
    odd, pairs = document["odd"], document["near_duplicates"]
    is_enough = document["usable"] >= document["needed"]
    contamination, suspects = "", []
    if (found := document["contamination"]) is not None:
        low, high = found["share_interval"]
        contamination = word("contamination_text", low=low, high=high, **found)
        suspects = [
            {**_picture(item["path"]), "text": word("oddness", oddness=item["oddness"])}
            for item in found["listed"][:_MOST]
        ]
    return {
        "contamination": contamination,
        "suspects": suspects,
        "language": language,
        "word": word,
        "answer": word("enough" if is_enough else "too_few", **document),
        "facts": word("facts", **{**document, **counts}),
        "odd": [
            {**_picture(item["path"]), "text": item["detail"].partition(": ")[2]}
            for item in odd[:_MOST]
        ],
        "odd_more": word("more", n=len(odd) - _MOST) if len(odd) > _MOST else "",
        "pairs": [[_picture(path) for path in pair] for pair in pairs[:_MOST]],
        "pairs_more": word("more", n=len(pairs) - _MOST) if len(pairs) > _MOST else "",
        "next": word("next", line=document["line"]),
    }


def _picture(path: str) -> JsonObject:
    """A thumbnail; a file that has gone since has none."""
    try:
        shown = to_display(read_image(Path(path)).pixels)
    except UnreadableImage:
        return {"name": Path(path).name, "picture": ""}
    scale = min(1.0, _SIDE / max(shown.shape[:2]))
    size = (max(1, round(shown.shape[1] * scale)), max(1, round(shown.shape[0] * scale)))
    thumbnail = cv2.resize(shown, size, interpolation=cv2.INTER_AREA)
    return {"name": Path(path).name, "picture": data_url(thumbnail)}

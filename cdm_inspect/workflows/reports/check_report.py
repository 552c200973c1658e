"""What was found among the good parts of a line, as one HTML page with the pictures in question."""

from __future__ import annotations

from pathlib import Path

import cv2

from cdm_inspect.config.words import LANGUAGES, Speech
from cdm_inspect.errors import UnreadableImage
from cdm_inspect.images import read_image, to_display
from cdm_inspect.records import JsonObject
from cdm_inspect.workflows.reports.pages import data_url, write_page

# A page with thousands of pictures helps nobody.
_MOST = 40
_SIDE = 200


def write_check_report(document: JsonObject, destination: Path, *, max_pixels: int) -> None:
    """Write the page of a check.

    Args:
        document: the JSON of `check`.
        max_pixels: larger files are not shown.
    """
    shown = _Pictures(Path(document["folder"]), max_pixels)
    pages = [_page(document, language, shown) for language in LANGUAGES]
    write_page("check_report.html", destination, document, pages)


class _Pictures:
    """Names and thumbnails of files, each read once."""

    def __init__(self, folder: Path, max_pixels: int) -> None:
        self.folder, self.max_pixels = folder, max_pixels
        self._known: dict[str, JsonObject] = {}

    def __call__(self, path: str) -> JsonObject:
        if path not in self._known:
            self._known[path] = self._read(Path(path))
        return self._known[path]

    def _read(self, path: Path) -> JsonObject:
        # Lots in folders of their own number their parts alike.
        name = path.relative_to(self.folder).as_posix()
        try:
            shown = to_display(read_image(path, max_pixels=self.max_pixels).pixels)
        except UnreadableImage:
            return {"name": name, "picture": ""}  # it has gone since
        scale = min(1.0, _SIDE / max(shown.shape[:2]))
        size = (max(1, round(shown.shape[1] * scale)), max(1, round(shown.shape[0] * scale)))
        return {
            "name": name,
            "picture": data_url(cv2.resize(shown, size, interpolation=cv2.INTER_AREA)),
        }


def _page(document: JsonObject, language: str, shown: _Pictures) -> JsonObject:
    word = Speech(language, "page_check.")
    counts = {
        name: ", ".join(f"{key}: {count}" for key, count in document[name].items())
        for name in ("sizes", "kinds")
    }
    answer = "enough" if document["is_enough"] else "not_split"
    if document["usable"] < document["needed"]:
        answer = "too_few"
    page: JsonObject = {
        "language": language,
        "word": word,
        "answer": word(answer, **document),
        "facts": word("facts", **{**document, **counts}),
        "next": word("next", line=document["line"]),
    }
    listed = {"odd": [(i["path"], i["detail"].partition(": ")[2]) for i in document["odd"]]}
    listed["oddest"] = [(i["path"], word("score", **i)) for i in document["oddest"]]
    for name, items in listed.items():
        page[name] = [{**shown(path), "text": text} for path, text in items[:_MOST]]
        page[f"{name}_more"] = _more(word, len(items))
    pairs = document["near_duplicates"]
    page["pairs"] = [[shown(path) for path in pair] for pair in pairs[:_MOST]]
    page["pairs_more"] = _more(word, len(pairs))
    return page


def _more(word: Speech, count: int) -> str:
    return word("more", n=count - _MOST) if count > _MOST else ""

"""Reports as single HTML pages that need nothing else: two languages, pictures inside."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from cdm_inspect.config.words import Speech
from cdm_inspect.encoding import readable
from cdm_inspect.files import write_durably
from cdm_inspect.records import JsonObject


def write_page(
    template: str, destination: Path, document: JsonObject, pages: list[JsonObject]
) -> None:
    """Write a report.

    Args:
        template: name of a file beside this one that extends `page.html`.
        document: what the report is about; its `line` is in the title.
        pages: one for each language, with at least `language` and `word`.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    text = environment.get_template(template).render(pages=pages, document=document)
    write_durably(destination, readable(text).encode())


def draw_svg(draw: Callable[[Any], None], size: tuple[float, float], word: Speech) -> Markup:
    """A figure to stand inside a page.

    Args:
        draw: draws on a matplotlib figure.
        size: width and height, inches.
        word: texts in the language of the page.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # Text stays text, so that the reader's browser finds the glyphs that this machine may lack.
    style = {"svg.fonttype": "none", "svg.hashsalt": word("title")}
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        out = io.StringIO()
        figure.savefig(out, format="svg")
    text = out.getvalue()
    return Markup(text[text.index("<svg") :])  # noqa: S704 - our own SVG


def data_url(picture: npt.NDArray[np.uint8]) -> str:
    """A picture, (height, width, 3) RGB, to stand inside a page."""
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode()

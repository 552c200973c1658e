"""Pages of PDF in two scripts, A4. Needs reportlab.

Latin text is set in Helvetica, all else in HeiseiKakuGo-W5. Neither is in the file, which names
them only: the machine that writes needs no font, the reader does. Readers bring Helvetica, or one
like it, along; Japanese needs one with Asian fonts (Acrobat may ask to install them), and without
such a font shows nothing or boxes. The file is no PDF/A, which wants all its fonts inside.

What people have written is data: it is never read as markup.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from html import escape
from itertools import groupby
from typing import Any

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    Flowable,
    KeepTogether,
    Paragraph,
    SimpleDocTemplate,
    Table,
    TableStyle,
)

from cdm_inspect.encoding import readable

_JAPANESE = "HeiseiKakuGo-W5"
pdfmetrics.registerFont(UnicodeCIDFont(_JAPANESE))
_MARGIN = 16 * mm
_PADDING = 6  # points that reportlab leaves around what it fills
WIDTH = A4[0] - 2 * _MARGIN
# What stands for a character that the font lacks, as is usual in Japanese print.
_MISSING = "〓"
INK, GREY = colors.HexColor("#00204d"), colors.HexColor("#667080")
_HEAD, LINE = colors.HexColor("#e8ecf2"), colors.HexColor("#c4ccd8")

TEXT = ParagraphStyle("text", fontName="Helvetica", fontSize=8.5, leading=11.5)
SMALL = ParagraphStyle("small", TEXT, fontSize=7.5, leading=10, textColor=GREY)
_NUMBER = ParagraphStyle("number", TEXT, alignment=2)
STRONG = ParagraphStyle("strong", TEXT, fontName="Helvetica-Bold")
TITLE = ParagraphStyle("title", STRONG, fontSize=16, leading=22, textColor=INK)
_SECTION = ParagraphStyle(
    "section", STRONG, fontSize=11, leading=15, spaceBefore=9, spaceAfter=3, textColor=INK
)
_RIGHT = ParagraphStyle("right", SMALL, alignment=2)
# Characters of a foot.
_FOOT = 90


def write_pages(
    story: Sequence[Flowable],
    *,
    foot: str,
    count: Callable[[int, int], str],
    author: str,
    language: str,
) -> bytes:
    """The bytes of a PDF.

    Args:
        story: what it tells.
        foot: of every page, and title of the document.
        count: from the number of a page, and of all pages, to what the page says of them.
        author: of the document.
        language: of the document, such as `ja`.
    """
    file = io.BytesIO()
    document = SimpleDocTemplate(
        file,
        pagesize=A4,
        leftMargin=_MARGIN - _PADDING,
        rightMargin=_MARGIN - _PADDING,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN + 6 * mm,
        title=readable(foot),
        author=readable(author),
        lang=language,
    )
    document.build(list(story), canvasmaker=partial(_NumberedCanvas, foot=foot, count=count))
    return file.getvalue()


class _NumberedCanvas(Canvas):  # type: ignore[misc]
    """Draws the foot of every page at the end, when it is known how many there are."""

    def __init__(
        self, *arguments: Any, foot: str, count: Callable[[int, int], str], **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._foot, self._count = foot, count
        self._pages: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 - reportlab's name
        """Keep the page for later."""
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        """Write all pages, each with its foot."""
        for number, page in enumerate(self._pages, start=1):
            self.__dict__.update(page)
            counted = self._count(number, len(self._pages))
            for text, style, share in ((self._foot, SMALL, 0.8), (counted, _RIGHT, 0.2)):
                line = paragraph(_cut(text, _FOOT), style)
                line.wrapOn(self, WIDTH * share, 10 * mm)
                line.drawOn(self, _MARGIN + WIDTH * (style is _RIGHT) * 0.8, _MARGIN - 4 * mm)
            super().showPage()
        super().save()


def paragraph(text: str, style: ParagraphStyle = TEXT) -> Paragraph:
    """Text as it is, whatever it looks like; line breaks stay."""
    plain = _printable(text)
    if any(not _is_latin(character) for character in plain):
        # Lines may end between any two characters; Latin words are kept whole elsewhere.
        style = ParagraphStyle(f"{style.name}-ja", style, wordWrap="CJK")
    marked = []
    for is_latin, run in groupby(plain, _is_latin):
        safe = escape("".join(run)).replace("\n", "<br/>")
        marked.append(safe if is_latin else f'<font name="{_JAPANESE}">{safe}</font>')
    return Paragraph("".join(marked) or "&nbsp;", style)


def _printable(text: str) -> str:
    lines = readable(text).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(map(_shown, lines))


def _shown(character: str) -> str:
    if character == "\n" or _is_latin(character):
        return character
    # What turns the direction of reading, or joins characters, has no look of its own.
    if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp"):
        return " "
    return character if _is_japanese(character) else _MISSING


def _is_latin(character: str) -> bool:
    return " " <= character <= "~" or "\xa1" <= character <= "\xff" or character in "\n–—‘’“”"


def _is_japanese(character: str) -> bool:
    for encoding in ("cp932", "shift_jis"):
        try:
            character.encode(encoding)
        except UnicodeEncodeError:
            continue
        return True
    return False


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def section(title: str, *content: Flowable, together: int = 1) -> list[Flowable]:
    """A heading that stays with what follows.

    Args:
        title: text of the heading.
        content: what follows, at least one.
        together: so many of them stay on one page with it.
    """
    first = [paragraph(title, _SECTION), *content[:together]]
    return [KeepTogether(first), *content[together:]]


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], widths: Sequence[float], *, texts: int = 1
) -> Table:
    """A table whose head comes again on each page.

    Args:
        head: names of the columns.
        rows: of texts.
        widths: of columns, in shares of the page.
        texts: so many columns from the left are text, the others numbers.
    """
    styles = [TEXT if column < texts else _NUMBER for column in range(len(head))]
    bold = [ParagraphStyle(f"head-{s.name}", s, fontName="Helvetica-Bold") for s in styles]
    cells = [[paragraph(text, style) for text, style in zip(head, bold, strict=True)]]
    for row in rows:
        cells.append([paragraph(text, style) for text, style in zip(row, styles, strict=True)])
    table = Table(
        cells,
        colWidths=[WIDTH * width / sum(widths) for width in widths],
        repeatRows=1,
        splitInRow=1,
        hAlign="LEFT",
    )
    table.setStyle(
        TableStyle(
            [
                ("BACKGROUND", (0, 0), (-1, 0), _HEAD),
                ("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("TOPPADDING", (0, 0), (-1, -1), 1.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
            ]
        )
    )
    return table

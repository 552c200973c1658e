"""`cdm-inspect import`: a collection of photographs becomes folders of a line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cdm_inspect.cli.context import Context
from cdm_inspect.errors import InvalidOption


def import_parts(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="Where the collection is.")],
    destination: Annotated[Path, typer.Argument(help="Folder to write, new or empty.")],
    reader: Annotated[str, typer.Option(help="Which knows how the collection is kept.")] = "table",
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of the reader.")
    ] = None,
) -> None:
    """Bring a collection of photographs into train/good, test/LABEL and ground_truth/LABEL."""
    from cdm_inspect.images.import_collection import import_collection
    from cdm_inspect.plugins import ReaderOffer
    from cdm_inspect.plugins.registry import open_registry

    state: Context = context.obj
    offer = open_registry(state.root).named(ReaderOffer, reader)
    given = dict(_key_value(text) for text in option or ())
    with state.screen.counting("import") as tick:
        document = import_collection(offer, given, source, destination, tick=tick)
    labels = ", ".join(f"{count} {label}" for label, count in document["labels"].items())
    state.screen.say(
        f"{document['for_training']} good parts to learn from, {labels or 'none'} to test with, "
        f"{document['masks']} masks: {escape(document['folder'])}"
    )
    for sentence in document["left_out"][:20]:
        state.screen.say(f"[yellow]left out:[/yellow] {escape(sentence)}")
    state.screen.finish(document)


def _key_value(text: str) -> tuple[str, str]:
    if not re.fullmatch(r"\w+=.*", text, re.DOTALL):
        raise InvalidOption(f"expected --option KEY=VALUE, found {text!r}.")
    key, _, value = text.partition("=")
    return key, value

"""The hooks a plugin may implement. Group of entry points and name of the markers: `cdm_inspect`.

A plugin is a module (or object) named by an entry point:

    [project.entry-points.cdm_inspect]
    my-scorer = "my_package.plugin"

Registration hooks return offers and run once, at start. Observers learn what happened; what they
raise is logged and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from cdm_inspect.plugins.contracts.commands import CommandOffer
    from cdm_inspect.plugins.contracts.datasets import ReaderOffer
    from cdm_inspect.plugins.contracts.exporters import ExporterOffer
    from cdm_inspect.plugins.contracts.review_pages import PageOffer
    from cdm_inspect.plugins.contracts.scorers import ScorerOffer
    from cdm_inspect.plugins.contracts.stores import SinkOffer, StoreOffer
    from cdm_inspect.records import Inspection, Review, TrainingTick


PROJECT = "cdm_inspect"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hooks:
    """All hook specifications."""

    @hookspec
    def cdm_inspect_scorers(self) -> Iterable[ScorerOffer]:  # type: ignore[empty-body]
        """Offer scorers.

        Example:
            @hookimpl
            def cdm_inspect_scorers():
                yield ScorerOffer(
                    contract=1, name="edges", summary="Sum of edges.", build=build_edges
                )
        """

    @hookspec
    def cdm_inspect_exporters(self) -> Iterable[ExporterOffer]:  # type: ignore[empty-body]
        """Offer exporters.

        Example:
            @hookimpl
            def cdm_inspect_exporters():
                yield ExporterOffer(
                    contract=1, name="openvino", summary="OpenVINO IR.", build=OpenVino
                )
        """

    @hookspec
    def cdm_inspect_stores(self) -> Iterable[StoreOffer]:  # type: ignore[empty-body]
        """Offer stores.

        Example:
            @hookimpl
            def cdm_inspect_stores():
                yield StoreOffer(
                    contract=1, name="jsonl", summary="One JSON line a part.", open=open_jsonl
                )
        """

    @hookspec
    def cdm_inspect_sinks(self) -> Iterable[SinkOffer]:  # type: ignore[empty-body]
        """Offer sinks: somebody else who receives verdicts, and of none too few.

        Example:
            @hookimpl
            def cdm_inspect_sinks():
                yield SinkOffer(
                    contract=1, name="mqtt", summary="To an MQTT broker.", open=open_mqtt
                )
        """

    @hookspec
    def cdm_inspect_pages(self) -> Iterable[PageOffer]:  # type: ignore[empty-body]
        """Offer pages of the review app.

        Example:
            @hookimpl
            def cdm_inspect_pages():
                yield PageOffer(
                    contract=1, name="shifts", summary="Parts by shift.", show=show_shifts
                )
        """

    @hookspec
    def cdm_inspect_commands(self) -> Iterable[CommandOffer]:  # type: ignore[empty-body]
        """Offer commands of the command line.

        Example:
            @hookimpl
            def cdm_inspect_commands():
                yield CommandOffer(
                    contract=1, name="shift", summary="Sum up a shift.", build=lambda: shift
                )
        """

    @hookspec
    def cdm_inspect_readers(self) -> Iterable[ReaderOffer]:  # type: ignore[empty-body]
        """Offer readers of collections of photographs.

        Example:
            @hookimpl
            def cdm_inspect_readers():
                yield ReaderOffer(
                    contract=1, name="hdf5", summary="One HDF5 file a shift.", read=read_hdf5
                )
        """

    @hookspec(firstresult=True)
    def cdm_inspect_line_file(self, line: str, root: Path) -> Path | None:
        """Name the file of its own that configures a line, inside `root`; None to pass.

        Example:
            @hookimpl
            def cdm_inspect_line_file(line, root):
                recipe = root / "recipes" / f"{line}.toml"
                return recipe if recipe.is_file() else None
        """

    @hookspec
    def cdm_inspect_training_ticked(self, line: str, tick: TrainingTick) -> None:
        """Observe a training; called about once a second.

        Example:
            @hookimpl
            def cdm_inspect_training_ticked(line, tick):
                gauge.set(tick.loss_dsm)
        """

    @hookspec
    def cdm_inspect_verdict_reached(self, inspection: Inspection) -> None:
        """Observe a verdict, after it is stored.

        Example:
            @hookimpl
            def cdm_inspect_verdict_reached(inspection):
                lamp.set(inspection.verdict)
        """

    @hookspec
    def cdm_inspect_review_recorded(self, review: Review) -> None:
        """Observe a person's decision, after it is stored.

        Example:
            @hookimpl
            def cdm_inspect_review_recorded(review):
                mes.send(review.inspection_id, review.decision)
        """

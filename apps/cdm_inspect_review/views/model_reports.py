"""What `diagnose`, `pilot`, `evaluate` and `bench` have written of a line, and two side by side."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

import streamlit as st

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.evaluation.compare import compare_evaluations
from cdm_inspect.review.report_index import LineReports, Report, ReportKind
from cdm_inspect_review import model_tables as tables
from cdm_inspect_review.page_state import explained, language, word
from cdm_inspect_review.plant import current_plant
from cdm_inspect_review.views import failure


def show(line: str, zone: tables.Zone) -> None:
    """One kind of reports at a time."""
    st.subheader(word("models.reports_title"), anchor=False)
    try:
        found = current_plant().reports(line)
    except CdmInspectError as error:
        failure.show(error)
        return
    if found.damaged:
        st.text(word("models.damaged", names=", ".join(found.damaged)))
    kinds = [kind.value for kind in ReportKind]
    kind = st.segmented_control(
        word("models.reports_title"),
        [*kinds[:1], "compare", *kinds[1:]],
        default=kinds[0],
        format_func=lambda name: word(f"models.kind_{name}"),
        key="models-kind",
        required=True,
        label_visibility="collapsed",
    )
    if kind == "compare":
        _show_comparison(found.of(ReportKind.EVALUATION))
    else:
        _show_kind(found, ReportKind(str(kind)), line, zone)


def _show_kind(found: LineReports, kind: ReportKind, line: str, zone: tables.Zone) -> None:
    reports = found.of(kind)
    if not reports:
        st.text(word(f"models.no_{kind.value}", line=line))
        return
    if kind is ReportKind.EVALUATION:
        rows = [tables.evaluation_row(report, word, zone) for report in reports]
        st.dataframe(rows, hide_index=True, width="stretch", placeholder="–")
    report = _choose(word("models.report"), reports, f"models-{kind.value}", zone)
    if kind is ReportKind.BENCH:
        rows = tables.bench_rows(report.document, word)
        st.dataframe(rows, hide_index=True, width="stretch", placeholder="–")
    elif kind is ReportKind.DIAGNOSIS:
        _show_diagnosis(report)
    elif kind is ReportKind.PILOT:
        _show_pilot(report)
    _show_files(report)


def _choose(label: str, reports: Sequence[Report], key: str, zone: tables.Zone) -> Report:
    names = [f"{report.name} · {tables.at(report.written_at, zone)}" for report in reports]
    chosen = st.selectbox(label, range(len(reports)), format_func=names.__getitem__, key=key)
    return reports[chosen or 0]


def _show_diagnosis(report: Report) -> None:
    document = report.document
    diagnoses = [found for found in (document, document.get("compare")) if found]
    for found in diagnoses:
        st.text(word("models.diagnosed", model=found["model"], n=found["n_held_out"]))
        for warning in tables.warnings(found, word):
            st.text(f"✖ {warning}")
        st.dataframe(
            tables.level_rows(found, word), hide_index=True, width="stretch", placeholder="–"
        )
        st.dataframe(
            tables.drift_rows(found, word), hide_index=True, width="stretch", placeholder="–"
        )
    st.altair_chart(tables.denoising_chart(diagnoses, word))


def _show_pilot(report: Report) -> None:
    with st.container(border=True):
        st.text(word(f"models.answer_{report.document['verdict']['answer']}"))
        st.text(tables.pilot_sentence(report.document, language()))
    rows = tables.pilot_rows(report.document, language())
    st.dataframe(rows, hide_index=True, width="stretch", placeholder="–")


def _show_files(report: Report) -> None:
    """The report as it was drawn; pages go to the person's own browser."""
    for path in report.files:
        if path.suffix == ".html":
            # Asked for as files: a page of a report runs none of its own in this app.
            st.download_button(
                word("models.download"),
                data=path.read_bytes,
                file_name=path.name,
                mime="text/html",
                key=f"models-download-{report.name}",
            )
    for path in report.files:
        if path.suffix == ".png":
            # Streamlit's own images have no text for who cannot see them.
            data = base64.b64encode(path.read_bytes()).decode()
            label = html.escape(word("models.picture_of"))
            st.html(f'<img alt="{label}" style="width: 100%" src="data:image/png;base64,{data}">')


def _show_comparison(reports: Sequence[Report]) -> None:
    if len(reports) < 2:
        st.text(word("models.no_compare"))
        return
    zone = current_plant().project.config.review.zone
    columns = st.columns(2)
    with columns[0]:
        first = _choose(word("models.first"), reports, "models-first", zone)
    with columns[1]:
        others = [report for report in reports if report is not first]
        second = _choose(word("models.second"), others, "models-second", zone)
    try:
        found = compare_evaluations(first.document, second.document)
    except CdmInspectError as error:
        st.text(f"✖ {explained(error)}")
        return
    st.text(word("models.compared", good=found.good, defective=found.defective))
    sides = ((word("models.first"), first), (word("models.second"), second))
    st.dataframe(
        [
            {
                "": name,
                word("models.name"): report.name,
                word("models.model"): str(report.document.get("model", tables.NOTHING)),
                word("models.scorer"): str(report.document.get("scorer", tables.NOTHING)),
                word("models.calibration"): str(report.document.get("calibration", "")),
            }
            for name, report in sides
        ],
        hide_index=True,
        width="stretch",
        placeholder="–",
    )
    rows = tables.comparison_rows(found, word)
    st.dataframe(rows, hide_index=True, width="stretch", placeholder="–")
    st.text(word("models.compare_read"))

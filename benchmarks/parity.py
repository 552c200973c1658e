"""Do the exported forms say of labelled parts what the trained model says? Every part, both sets.

    python benchmarks/parity.py --project plant --line A --data labelled --line B --data others

Exports each line in each form, with the gate that `export` always has, and then judges all labelled
parts by the trained model and by each form that passed. `flips` are parts with another verdict. The
exporter `openvino` is that of `plugins/cdm-inspect-openvino`; it is left out where it is not
installed. The last line printed is JSON.
"""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cdm_inspect.errors import ExportMismatch
from cdm_inspect.images import find_labelled
from cdm_inspect.inspection.exported.bundle import MANIFEST
from cdm_inspect.inspection.exported.station import open_station
from cdm_inspect.inspection.inspector import Inspector
from cdm_inspect.plugins import ExporterOffer
from cdm_inspect.project import Project, open_project
from cdm_inspect.workflows.assembly import open_inspector
from cdm_inspect.workflows.export import export

FORMS = (
    ("onnx", "fp32"),
    ("onnx", "fp16"),
    ("onnx", "int8"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--line", action="append", required=True)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--form", action="append", choices=[" ".join(f) for f in FORMS])
    parser.add_argument("--reuse", action="store_true", help="take what is exported already")
    arguments = parser.parse_args()
    rows = []
    for line, data in zip(arguments.line, arguments.data, strict=True):
        rows += judge(arguments, line, data)
        show(rows)
    print(json.dumps(rows))


def judge(arguments: argparse.Namespace, line: str, data: Path) -> list[dict[str, Any]]:
    project = open_project(arguments.project, line=line)
    forms, rows = {}, []
    for exporter, precision in FORMS:
        form = f"{exporter} {precision}"
        if exporter not in project.registry.usable(ExporterOffer):
            continue
        if arguments.form and form not in arguments.form:
            continue
        name = exporter if precision == "fp32" else f"{exporter}-{precision}"
        if arguments.reuse and (project.export_folder(line, name) / MANIFEST).is_file():
            forms[form] = open_station(project, line, name)
            continue
        try:
            document = export(
                project, line, exporter, options={"precision": precision}, tick=lambda *at: None
            )
        except ExportMismatch as error:
            rows.append({"line": line, "form": form, "refused": str(error)})
            continue
        forms[form] = open_station(project, line, document["name"])
    return rows + compare(project, line, data, forms)


def compare(
    project: Project, line: str, data: Path, forms: Mapping[str, Inspector[Any]]
) -> list[dict[str, Any]]:
    trained = open_inspector(project, line, device="cpu")
    found: dict[str, list[tuple[float, float, bool]]] = {name: [] for name in forms}
    seconds: dict[str, list[float]] = {name: [] for name in ("trained", *forms)}
    scale = 0.0
    for part in track(find_labelled(data), f"judge {line}", transient=True):
        began = time.perf_counter()
        ours, _ = trained.inspect_file(part.path)
        seconds["trained"].append(time.perf_counter() - began)
        if ours.heatmap is not None:
            scale = max(scale, float(np.abs(ours.heatmap).max()))
        for name, inspector in forms.items():
            began = time.perf_counter()
            theirs, _ = inspector.inspect_file(part.path)
            seconds[name].append(time.perf_counter() - began)
            score, heat = 0.0, 0.0
            if ours.score is not None and theirs.score is not None:
                score = abs(ours.score - theirs.score)
            if ours.heatmap is not None and theirs.heatmap is not None:
                heat = float(np.abs(ours.heatmap - theirs.heatmap).max())
            found[name].append((score, heat, ours.verdict is not theirs.verdict))
    base = float(np.median(seconds["trained"]))
    return [
        {
            "line": line,
            "form": name,
            "parts": len(values),
            "score_difference": max(v[0] for v in values),
            "heatmap_difference": max(v[1] for v in values),
            "scale": scale,
            "flips": sum(v[2] for v in values),
            "ratio": round(float(np.median(seconds[name])) / base, 3),
        }
        for name, values in found.items()
    ]


def show(rows: list[dict[str, Any]]) -> None:
    table = Table("line", "form", "parts", "score", "heat map", "largest value", "flips", "time")
    for row in rows:
        if "refused" in row:
            table.add_row(row["line"], row["form"], "", "refused at export", "", "", "", "")
            continue
        table.add_row(
            row["line"],
            row["form"],
            str(row["parts"]),
            f"{row['score_difference']:.2g}",
            f"{row['heatmap_difference']:.2g}",
            f"{row['scale']:.3g}",
            str(row["flips"]),
            f"{row['ratio']:.2f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()

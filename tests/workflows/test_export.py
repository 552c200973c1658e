"""From a calibrated line to a station without torch, and what it refuses on the way."""

import json
import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

from cdm_inspect.builtin import cdm_inspect_exporters, cdm_inspect_scorers
from cdm_inspect.encoding import sha256_of
from cdm_inspect.errors import (
    ConfigError,
    ExportError,
    ExportMismatch,
    ImageError,
    NotCalibrated,
    PluginUnavailable,
)
from cdm_inspect.images import Preparation, find_images, read_image
from cdm_inspect.inspection.exported.bundle import GOLDEN, MANIFEST, read_artefact, read_golden
from cdm_inspect.inspection.exported.station import open_station
from cdm_inspect.project import open_project
from cdm_inspect.records import Verdict
from cdm_inspect.scoring.graph import ScoringGraph
from cdm_inspect.scoring.line_scorer import LineScorer
from cdm_inspect.testing.scorers import good_parts, small_network
from cdm_inspect.workflows.assembly import open_inspector
from cdm_inspect.workflows.calibrate import calibrate
from cdm_inspect.workflows.export import export as export_line

DOCS = Path(__file__).parents[2] / "docs"


def no_progress(*at):
    pass


def export(root, exporter="onnx", *, overrides=(), **options):
    project = open_project(root, line="A", overrides=overrides)
    return export_line(project, "A", exporter, tick=no_progress, **options)


@pytest.fixture
def station(exported, tmp_path):
    """What a station gets: the project file and the exported folder, nothing else."""
    root = tmp_path / "station"
    (root / "exports" / "A").mkdir(parents=True)
    shutil.copy(exported[0] / "cdm-inspect.toml", root)
    shutil.copytree(exported[0] / "exports" / "A" / "onnx", root / "exports" / "A" / "onnx")
    return root


def opened(root, runtime="onnx", overrides=()):
    return open_station(open_project(root, line="A", overrides=overrides), "A", runtime)


def test_what_is_written_says_what_it_is(exported):
    root, document = exported
    folder = root / "exports" / "A" / "onnx"
    artefact = read_artefact(folder)
    model = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    inside = {entry.key: entry.value for entry in model.metadata_props}
    assert inside["cdm_inspect.model"] == document["model"] == artefact.model
    assert inside["cdm_inspect.licence"] == "CC0-1.0"
    assert json.loads(inside["cdm_inspect.input"])["dtype"] == "uint8"
    assert inside["cdm_inspect.calibration"] == document["calibration"]
    assert len(inside["cdm_inspect.data_sha256"]) == len(inside["cdm_inspect.config_sha256"]) == 64
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == 20
    assert set(artefact.files) == {
        p.relative_to(folder).as_posix()
        for p in folder.rglob("*")
        if p.is_file() and p.name != MANIFEST
    }
    parity = document["parity"]
    assert parity["flips"] == 0
    assert parity["parts"] == len(read_golden(folder / GOLDEN)) >= 24
    # The golden set tells something: it has parts on both sides of the thresholds.
    assert len(parity["verdicts"]) >= 2
    assert parity["score_difference"] <= 1e-4 * parity["scale"]
    assert json.loads((folder / "parity.json").read_bytes())["by_part"]


def test_a_station_says_what_the_trained_model_says(exported, station, tmp_path):
    """Of good and defective parts, and of files that are none."""
    root, _ = exported
    photographs = sorted(find_images(root / "data" / "A" / "test"))[:14]
    odd = tmp_path / "odd"
    odd.mkdir()
    whole = photographs[0].read_bytes()
    (odd / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (odd / "empty.png").write_bytes(b"")
    (odd / "folder.png").mkdir()
    (odd / "text.png").write_text("no picture")
    with Image.open(photographs[0]) as picture:
        Image.new(picture.mode, picture.size, 128).save(odd / "blank.png")
        picture.resize((8, 8)).save(odd / "small.png")
        picture.resize((3 * picture.width, picture.height)).save(odd / "wide.png")
        picture.resize((2 * picture.width + 3, 2 * picture.height + 3)).save(odd / "large.png")
        picture.convert("L" if picture.mode == "RGB" else "RGB").save(odd / "other-mode.png")
    trained = open_inspector(open_project(root, line="A"), "A", device="cpu")
    exported_line = opened(station)
    verdicts, pictures = [], []
    for path in [*photographs, *sorted(odd.iterdir())]:
        ours, _ = trained.inspect_file(path)
        theirs, _ = exported_line.inspect_file(path)
        assert (theirs.verdict, theirs.reason) == (ours.verdict, ours.reason), path
        assert (theirs.model, theirs.calibration) == (ours.model, ours.calibration)
        if ours.score is None:
            assert theirs.score is None
        else:
            assert theirs.score == pytest.approx(ours.score, abs=1e-3)
            assert theirs.p_value == pytest.approx(ours.p_value, abs=0.02)
            assert np.abs(theirs.heatmap - ours.heatmap).max() < 1e-3
            is_flagged = ours.verdict is not Verdict.PASS
            for found in (ours.restoration, theirs.restoration):
                assert (found is not None) == is_flagged
        if ours.restoration is not None:
            assert ours.restoration.shape == (64, 64, 3)
            assert ours.restoration.dtype == theirs.restoration.dtype == np.uint8
            difference = ours.restoration.astype(int) - theirs.restoration
            assert np.abs(difference).max() <= 1  # where it lay between two steps
            pictures.append(ours.restoration)
        assert dict(theirs.acquisition) == pytest.approx(dict(ours.acquisition), abs=1e-4)
        verdicts.append(ours.verdict)
    assert {Verdict.PASS, Verdict.UNDECIDED} < set(verdicts)
    assert pictures
    assert all(picture.std() > 1 for picture in pictures)


def test_a_graph_that_restores_nothing_judges_as_before(exported, station):
    """As does one that was exported before there were restorations."""
    folder = station / "exports" / "A" / "onnx"
    photographs = sorted(find_images(exported[0] / "data" / "A" / "test"))
    model = onnx.load(folder / "model.onnx")
    names = [output.name for output in model.graph.output]
    assert names == ["score", "p_value", "heatmap", "prepared", "restored"]
    with_it = [opened(station).inspect_file(path)[0] for path in photographs]
    del model.graph.output[4]
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    whole = read_artefact(exported[0] / "exports" / "A" / "onnx")
    replace(whole, folder=folder).sealed().write_manifest()
    without = [opened(station).inspect_file(path)[0] for path in photographs]
    assert any(part.restoration is not None for part in with_it)
    assert all(part.restoration is None for part in without)
    assert [part.verdict for part in without] == [part.verdict for part in with_it]
    scores = [part.score for part in with_it]
    assert [part.score for part in without] == pytest.approx(scores, abs=1e-4)


STATION = """
import sys

class Nothing:
    '''What a station has not installed.'''
    missing = {missing!r}
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.missing:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Nothing())
sys.argv = ["cdm-inspect", *sys.argv[1:]]
from cdm_inspect.cli import main
main()
"""
MISSING = [
    *("torch", "torchvision", "lightning", "torchmetrics", "sklearn", "matplotlib", "jinja2"),
    *("imagehash", "onnx", "onnxscript", "anomalib", "timm", "streamlit", "psycopg"),
]


def at_station(root, *arguments):
    return subprocess.run(
        [sys.executable, "-c", STATION.format(missing=MISSING), "--project", root, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_no_torch_is_needed(exported, station):
    photographs = exported[0] / "data" / "A" / "test"
    done = at_station(station, "--json", "inspect", "--line", "A", "--runtime", "onnx", photographs)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["inspections"]
    assert len(found) == len(list(find_images(photographs)))
    assert all(row["score"] is not None for row in found)
    done = at_station(station, "--json", "parity", "--line", "A")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["flips"] == 0
    for command in ("lines", "plugins", "doctor"):
        assert at_station(station, command).returncode == 0
    for command in (["train"], ["inspect", photographs]):
        done = at_station(station, command[0], "--line", "A", *command[1:])
        assert done.returncode == 3
        assert "pip install 'cdm-inspect[train]'" in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr


def test_thresholds_change_without_a_new_export(exported, station):
    """What differs by thresholds alone is the same graph; what differs by more is not."""
    root = station.parent / "office"
    shutil.copytree(exported[0], root)
    before = opened(station).calibration
    project = open_project(root, line="A", overrides=["lines.A.max_false_reject=0.4"])
    calibrate(project, "A", device="cpu")
    shutil.copytree(root / "models" / "A" / "calibration", station / "models/A/calibration")
    after = opened(station).calibration
    assert after.threshold < before.threshold
    assert after.scoring_id == before.scoring_id
    blurred = open_project(root, line="A", overrides=["lines.A.scorers.residual.blur=5"])
    calibrate(blurred, "A", device="cpu")
    shutil.rmtree(station / "models")
    shutil.copytree(root / "models" / "A" / "calibration", station / "models/A/calibration")
    with pytest.raises(ExportMismatch, match="more has changed than thresholds"):
        opened(station)
    record = station / "models" / "A" / "calibration" / "residual.json"
    shutil.copy(station / "exports/A/onnx/calibration/residual.json", record)
    record.write_text(record.read_text().replace(before.model, "0" * 12))
    with pytest.raises(Exception, match=r"(?i)calibra"):
        opened(station)


def rewrite(folder, change):
    """Change a manifest and seal it anew, as somebody would who means harm."""
    record = json.loads((folder / MANIFEST).read_bytes())
    record.pop("seal")
    change(record)
    record["seal"] = sha256_of(json.dumps(record, sort_keys=True).encode())
    (folder / MANIFEST).write_text(json.dumps(record))


def forge(folder, model):
    """Put another graph in place, with a manifest that vouches for it."""
    file = folder / "model.onnx"
    file.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    digest = sha256_of(file.read_bytes())
    rewrite(folder, lambda record: record["files"].update({"model.onnx": digest}))


def foreign():
    """A sound graph of somebody else."""
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 8, 8])
    result = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, 8, 8])
    graph = helper.make_graph(
        [helper.make_node("Relu", ["images"], ["out"])], "g", [image], [result]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def external(folder):
    """The line's own graph, its weights in another file."""
    model = onnx.load(folder / "model.onnx")
    onnx.save_model(
        model,
        folder / "elsewhere.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    return (folder / "elsewhere.onnx").read_bytes()


def renamed(folder):
    """The line's own graph, said to be of another line."""
    model = onnx.load(folder / "model.onnx")
    next(p for p in model.metadata_props if p.key == "cdm_inspect.line").value = "B"
    return model


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


TAMPERED = {
    "one bit": (lambda f: (f / "model.onnx").write_bytes(flip((f / "model.onnx").read_bytes())),
                ExportMismatch, "model.onnx was changed since it was exported"),
    "truncated": (lambda f: (f / "model.onnx").write_bytes((f / "model.onnx").read_bytes()[:999]),
                  ExportMismatch, r"999 bytes"),
    "zero bytes": (lambda f: (f / "model.onnx").write_bytes(b""), ExportMismatch, r"\(0 bytes\)"),
    "gone": (lambda f: (f / "model.onnx").unlink(), ExportMismatch, "cannot be read"),
    "golden set": (lambda f: (f / GOLDEN).write_bytes(b"x"), ExportMismatch, "npz was changed"),
    "calibration": (lambda f: (f / "calibration/residual.json").write_text("{}"),
                    ExportMismatch, "residual.json was changed"),
    "manifest by hand": (lambda f: (f / MANIFEST).write_text(
        (f / MANIFEST).read_text().replace('"CC0-1.0"', '"mine"')), ExportMismatch, "was changed"),
    "manifest gone": (lambda f: (f / MANIFEST).unlink(), ExportError, "found none"),
    "manifest damaged": (lambda f: (f / MANIFEST).write_text("{"), ExportError, "is damaged"),
    "manifest a list": (lambda f: (f / MANIFEST).write_text("[]"), ExportError, "is damaged"),
    "newer": (lambda f: rewrite(f, lambda r: r.update(format=2)), ExportError, "expected format 1"),
    "out of the folder": (lambda f: rewrite(f, lambda r: r["files"].update({"../../x": "0"})),
                          ExportMismatch, "outside its folder"),
    "unlisted graph": (lambda f: rewrite(f, lambda r: r["files"].pop("model.onnx")),
                       ExportMismatch, "no SHA-256 of model.onnx"),
    "forged, foreign": (lambda f: forge(f, foreign()), ExportError, "has exported"),
    "forged, other metadata": (lambda f: forge(f, renamed(f)), ExportMismatch, "not the graph of"),
    "forged, external data": (lambda f: forge(f, external(f)), ExportError, "cannot be opened"),
    "forged, no graph": (lambda f: forge(f, b"no graph at all"), ExportError, "cannot be opened"),
    "forged, empty": (lambda f: forge(f, b""), ExportError, "cannot be opened"),
}  # fmt: skip


@pytest.mark.parametrize("fault", TAMPERED)
def test_what_was_tampered_with_is_refused(station, fault):
    change, error, message = TAMPERED[fault]
    change(station / "exports" / "A" / "onnx")
    with pytest.raises(error, match=message):
        opened(station)


def test_the_command_says_so_too(station, run):
    (station / "exports" / "A" / "onnx" / "model.onnx").write_bytes(b"")
    done = run("--project", station, "inspect", "--line", "A", "--runtime", "onnx", station)
    assert done.returncode == 8
    assert "was changed since it was exported" in " ".join(done.stderr.split())
    done = run("--project", station, "inspect", "--line", "A", "--runtime", "tpu", station)
    assert done.returncode == 8
    assert "found none" in " ".join(done.stderr.split())


LIAR = """
    import shutil

    from cdm_inspect import builtin
    from cdm_inspect.plugins import ExporterOffer
    from cdm_inspect.plugins import hookimpl

    (ONNX,) = builtin.cdm_inspect_exporters()

    class Liar:
        def __init__(self, options):
            self.exporter = ONNX.build(options)
            self.tolerance = {tolerance}

        def export(self, graph, examples, folder, **more):
            # The same line has been exported before, which takes its time.
            return [shutil.copy({source!r}, folder / "model.onnx")]

        def open(self, files):
            graph = self.exporter.open(files)

            class Graph:
                metadata = graph.metadata

                def __call__(self, images):
                    found = graph(images)
                    return found._replace({change})

            return Graph()

    @hookimpl
    def cdm_inspect_exporters():
        yield ExporterOffer(
            contract=1, name="liar", summary="Lies.", build=Liar, options=ONNX.options
        )
"""


@pytest.mark.parametrize(
    ("change", "tolerance", "message"),
    [
        ("score=found.score + 0.05", "1e-4", "scores differ"),
        ("heatmap=found.heatmap * 1.01", "1e-4", "heat maps differ"),
        ("score=found.score + 20", "100.0", "verdicts differ"),
    ],
)
def test_what_says_something_else_is_not_exported(
    exported, line, install, change, tolerance, message
):
    source = str(exported[0] / "exports" / "A" / "onnx" / "model.onnx")
    install("liar", LIAR.format(change=change, tolerance=tolerance, source=source))
    with pytest.raises(ExportMismatch, match=message):
        export(line, "liar", licence="CC0-1.0")
    report = json.loads((line / "reports" / "A-liar-parity.json").read_bytes())
    assert report["by_part"]
    assert not list((line / "exports" / "A").iterdir())
    with pytest.raises(ExportError, match="found none"):
        opened(line, "liar")


def test_a_former_export_stays_until_a_new_one_holds(exported, tmp_path, install):
    root = tmp_path / "line"
    shutil.copytree(exported[0], root)
    source = str(exported[0] / "exports" / "A" / "onnx" / "model.onnx")
    change = "score=found.score + 20"
    install("liar", LIAR.format(change=change, tolerance="100.0", source=source))
    before = read_artefact(root / "exports" / "A" / "onnx")
    with pytest.raises(ExportMismatch):
        export(root, "liar", name="onnx", licence="CC0-1.0")
    assert read_artefact(root / "exports" / "A" / "onnx") == before


def test_a_provider_that_is_missing_is_never_replaced(station):
    wanted = "CUDAExecutionProvider"
    if wanted in onnxruntime.get_available_providers():
        pytest.skip("this build of ONNX Runtime has CUDA: its absence was not tested")
    with pytest.raises(PluginUnavailable, match=r"station-gpu.*Nothing was run on the CPU"):
        opened(station, overrides=[f"lines.A.exporters.onnx.provider={wanted}"])
    with pytest.raises(PluginUnavailable, match="NoSuchProvider"):
        opened(station, overrides=["lines.A.exporters.onnx.provider=NoSuchProvider"])
    with pytest.raises(ConfigError, match="threads"):
        opened(station, overrides=["lines.A.exporters.onnx.threads=-1"])


@pytest.mark.slow
def test_one_size_only_and_a_region(line, tmp_path):
    size = read_image(next(iter(find_images(line / "data" / "A" / "train" / "good")))).pixels.shape
    region = np.zeros(size[:2], np.uint8)
    region[: size[0] // 2] = 255
    Image.fromarray(region).save(line / "region.png")
    overrides = ["images.region=region.png", "scorer=residual"]
    calibrate(open_project(line, line="A", overrides=overrides), "A", device="cpu")
    document = export(line, name="half", overrides=overrides, any_size=False)
    assert document["parity"]["flips"] == 0
    station = opened(line, "half", overrides)
    assert station.scorer.region.mean() == pytest.approx(0.5)
    path = next(iter(find_images(line / "data" / "A" / "test")))
    found, _ = station.inspect_file(path)
    trained = open_inspector(open_project(line, line="A", overrides=overrides), "A", device="cpu")
    ours, _ = trained.inspect_file(path)
    assert found.score == pytest.approx(ours.score, abs=1e-3)
    assert dict(found.acquisition) == dict(ours.acquisition)
    assert found.heatmap[-1].max() <= found.heatmap[: len(found.heatmap) // 2].min() + 1e-6
    with Image.open(path) as picture:
        picture.resize((2 * size[1], 2 * size[0])).save(tmp_path / "large.png")
    found, _ = station.inspect_file(tmp_path / "large.png")
    assert found.verdict is Verdict.UNDECIDED
    assert found.reason.startswith("scorer_failed")


@pytest.mark.long
def test_eight_bits_are_enough_or_refused(line):
    try:
        document = export(line, options={"precision": "int8"})
    except ExportMismatch:
        # Then nothing is left behind.
        assert not (line / "exports" / "A" / "onnx-int8").exists()
    else:
        assert document["name"] == "onnx-int8"
        assert document["parity"]["flips"] == 0


def test_what_cannot_be_exported_says_why(line):
    with pytest.raises(PluginUnavailable, match="no installed plugin offers"):
        export(line, "papyrus")
    with pytest.raises(NotCalibrated):
        export(line, scorer="score-norm")
    with pytest.raises(ConfigError, match="precision"):
        export(line, options={"precision": "int3"})
    shutil.rmtree(line / "data" / "A" / "train")
    with pytest.raises(ImageError, match="expected a folder of images"):
        export(line)


PREPARATION = Preparation(
    channels=1,
    height=32,
    width=32,
    white=4095,
    converts_to_grey=False,
    max_aspect_change=0.2,
    min_side=8,
)


# Enough of the long ones to see each kind of step.
SHORT = {
    "martingale": {"sigmas": [0.2], "paths": 2},
    "path": {"steps": 3},
    "reconstruction": {"starts": [0.5], "steps": 2, "distances": ["l2", "features"]},
    "residual": {"sigmas": [0.2]},
    "score-norm": {"sigmas": [0.1, 0.4]},
    "bias": {"sigmas": [0.25]},
    "inpainting": {"cells": [8]},
    "fused": {
        "residual": {"sigmas": [0.2]},
        "score_norm": {"sigmas": [0.2]},
        "bias": {"sigmas": [0.2]},
    },
}


# One of the network's features, and what is on by default; the others, above all those of several
# steps, take long. The line that is exported scores by `residual`.
EXPORTED = {"features", "fused"}
SCORERS = [
    offer if offer.name in EXPORTED else pytest.param(offer, marks=pytest.mark.long)
    for offer in cdm_inspect_scorers()
]


@pytest.mark.slow
@pytest.mark.parametrize("offer", SCORERS, ids=lambda value: value.name)
def test_every_built_in_scorer_becomes_onnx(offer, tmp_path):
    """Also those of several steps, of 12-bit photographs, and of a size that nobody has seen."""
    network = small_network()
    scorer = LineScorer(
        offer.build(network, offer.options(**SHORT.get(offer.name, {}))),
        options={},
        model_id="m",
        device=torch.device("cpu"),
    )
    scorer.fit(torch.cat([scorer.observe(part) for part in good_parts(12, 0)]))
    graph = ScoringGraph(network, scorer, PREPARATION, np.linspace(0, 4, 99)).eval()
    random = np.random.default_rng(0)
    pixels = random.integers(0, 4096, (3, 57, 51, 1), np.uint16)
    (onnx_offer,) = cdm_inspect_exporters()
    exporter = onnx_offer.build(onnx_offer.options())
    files = exporter.export(graph, [pixels[:1, :40, :40]], tmp_path, any_size=True, metadata={})
    found = exporter.open(files)(pixels)
    with torch.inference_mode():
        expected = [values.numpy() for values in graph(torch.from_numpy(pixels))]
    scale = np.abs(expected[2]).max()
    assert (found.restored is not None) == (len(expected) == 5)
    for ours, theirs in zip(expected, found[: len(expected)], strict=True):
        assert np.abs(ours - theirs).max() <= 1e-3 * max(scale, 1.0)


def test_the_reference_client_gets_the_same_score(exported, tmp_path):
    """The one that docs/station.md shows, word for word."""
    root, _ = exported
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "station.md").read_text(), re.DOTALL)
    client = tmp_path / "client.py"
    client.write_text(textwrap.dedent(code))
    assert len(code.splitlines()) <= 30
    photograph = next(iter(find_images(root / "data" / "A" / "test")))
    folder = root / "exports" / "A" / "onnx"
    done = subprocess.run(
        [sys.executable, client, folder, photograph], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    inspection, _ = opened(root).inspect_file(photograph)
    assert found["score"] == pytest.approx(inspection.score, abs=1e-5)
    assert found["p_value"] == pytest.approx(inspection.p_value, abs=1e-5)
    assert found["is_flagged"] == (inspection.verdict is not Verdict.PASS)

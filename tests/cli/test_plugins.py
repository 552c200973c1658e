"""What plugins add to the command line, and what it tells of them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

COMMANDS = """
import typer
from cdm_inspect.plugins import CommandOffer
from cdm_inspect.plugins import hookimpl
from cdm_inspect.records import InspectionQuery

def count(context: typer.Context, line: str = "A"):
    host = context.obj
    with host.open_store() as store:
        found = store.count(InspectionQuery(line=line))
    host.say(f"{found} parts [of] {line}, {len(host.configuration().lines)} lines")
    host.finish({"parts": found})

shifts = typer.Typer()

@shifts.command()
def early(): print("early")

@shifts.command()
def late(): raise ValueError("no late shift")

def get(): return count

def broken(): raise RuntimeError("cannot be built")

@hookimpl
def cdm_inspect_commands():
    yield CommandOffer(contract=1, name="count-parts", summary="Count the parts.", build=get)
    yield CommandOffer(contract=1, name="shifts", summary="About shifts.", build=lambda: shifts)
    yield CommandOffer(contract=1, name="broken", summary="Broken.", build=broken)
    yield CommandOffer(contract=1, name="lines", summary="Not in place of ours.", build=broken)
"""


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "plant"
    folder.mkdir()
    (folder / "cdm-inspect.toml").write_text('[lines.A]\nnormal = "good"\n')
    return folder


def test_commands_of_plugins(run, install, root):
    install("counting", COMMANDS)
    help_page = run("--help", cwd=root).stdout
    assert "Count the parts." in help_page
    assert "Not in place of ours." not in help_page
    counted = run("--project", root, "count-parts")
    assert (counted.returncode, counted.stdout) == (0, "0 parts [of] A, 1 lines\n")
    said = run("--project", root, "--json", "count-parts", "--line", "B")
    assert json.loads(said.stdout) == {"parts": 0}
    assert run("shifts", "early", cwd=root).stdout == "early\n"
    assert run("lines", cwd=root).returncode == 0
    for words, code, message in (
        (("broken",), 3, "the command 'broken' of a plugin cannot be built: RuntimeError"),
        (("shifts", "late"), 3, "'shifts' of a plugin failed: ValueError: no late shift"),
        (("nothing-of-the-kind",), 2, "No such command"),
    ):
        failed = run(*words, cwd=root)
        assert failed.returncode == code, words
        assert message in failed.stderr
        assert "Traceback" not in failed.stderr


def test_what_the_project_does_not_allow_adds_no_command(run, install, root):
    install("counting", COMMANDS)
    (root / "cdm-inspect.toml").write_text('[plugins]\nallow = []\n[lines.A]\nnormal = "good"\n')
    assert run("--project", root, "count-parts").returncode == 2
    assert "count-parts" not in run("--project", root, "--help").stdout
    (root / "cdm-inspect.toml").write_text("no toml")
    assert "No such command" in run("--project", root, "count-parts").stderr


def test_the_table_of_plugins(run, install, root):
    install("counting", COMMANDS)
    install("stray", "import a_module_that_is_not_there")
    said = run("--project", root, "--json", "plugins")
    rows = {row["distribution"]: row for row in json.loads(said.stdout)["plugins"]}
    assert rows["counting"]["file"].endswith("specimen_counting.py")
    assert rows["counting"]["hooks"] == ["cdm_inspect_commands"]
    assert "command count-parts" in rows["counting"]["offers"]
    assert rows["stray"]["status"] == "refused"
    assert "a_module_that_is_not_there" in rows["stray"]["reason"]
    assert said.returncode == 0
    strict = run("--project", root, "plugins", "--strict")
    assert strict.returncode == 3
    assert "not sound: stray" in strict.stderr


def test_what_a_plugin_prints_stands_beside_no_json(run, install, root):
    install("chatty", "print('here I am')\n" + COMMANDS)
    said = run("--project", root, "--json", "plugins")
    assert json.loads(said.stdout)["plugins"]
    assert "here I am" in said.stderr
    said = run("--project", root, "--json", "count-parts")
    assert json.loads(said.stdout) == {"parts": 0}


def test_a_plugin_that_is_required_and_not_there_is_in_no_ones_way_but_its_own(run, root):
    (root / "cdm-inspect.toml").write_text(
        '[plugins]\nrequired = ["mes"]\n[lines.A]\nnormal = "good"\n'
    )
    assert run("--project", root, "plugins").returncode == 0
    assert run("--project", root, "--help").returncode == 0
    said = run("--project", root, "lines")
    assert said.returncode == 3
    assert "mes" in said.stderr


@pytest.fixture
def collection(tmp_path):
    """Photographs of two products as a table lists them, one of them cut short."""
    folder = tmp_path / "collection"
    (folder / "Data").mkdir(parents=True)
    picture = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50) * 30
    rows = ["object,split,label,image,mask"]
    for number in range(4):
        cv2.imwrite(str(folder / "Data" / f"n{number}.png"), picture + number)
        rows.append(f"nut,{'train' if number < 3 else 'test'},normal,Data/n{number}.png,")
    cv2.imwrite(str(folder / "Data" / "a 0.png"), picture)
    mask = np.zeros((40, 50), np.uint8)
    mask[5:9, 5:9] = 3
    cv2.imwrite(str(folder / "Data" / "mask.png"), mask)
    rows.append("nut,test,scratch (long),Data/a 0.png,Data/mask.png")
    (folder / "Data" / "cut.png").write_bytes((folder / "Data" / "n0.png").read_bytes()[:300])
    rows += ["nut,train,normal,Data/cut.png,", "bolt,train,normal,Data/n0.png,"]
    (folder / "split.csv").write_text("\n".join(rows) + "\n")
    return folder


def files(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_a_collection_that_a_table_lists_comes_in(run, collection, tmp_path):
    to = tmp_path / "nut"
    said = run("--json", "import", collection / "split.csv", to, "--option", "only=nut")
    document = json.loads(said.stdout)
    assert (document["for_training"], document["masks"]) == (3, 1)
    assert document["labels"] == {"good": 1, "scratch-long": 1}
    assert len(document["left_out"]) == 1
    assert "cut short" in document["left_out"][0]
    assert files(to) == {
        *(f"train/good/Data/n{number}.png" for number in range(3)),
        "test/good/Data-n3.png",
        "test/scratch-long/Data-a-0.png",
        "ground_truth/scratch-long/Data-a-0_mask.png",
    }
    assert (to / "train/good/Data/n1.png").read_bytes() == (collection / "Data/n1.png").read_bytes()
    mask = cv2.imread(str(to / "ground_truth/scratch-long/Data-a-0_mask.png"), -1)
    assert set(np.unique(mask)) == {0, 255}
    # A picture without an ending gets one; one whose mask does not fit is left out, and whole.
    (collection / "Data" / "n0.png").rename(collection / "Data" / "n0")
    cv2.imwrite(str(collection / "Data" / "mask.png"), np.ones((7, 7), np.uint8))
    table = (collection / "split.csv").read_text().replace("n0.png", "n0")
    (collection / "split.csv").write_text(table)
    words = ("--option", "only=nut", "--option", "good=normal,fine")
    said = run("--json", "import", collection / "split.csv", tmp_path / "second", *words)
    assert len(json.loads(said.stdout)["left_out"]) == 2
    assert "its mask 7 x 7" in said.stdout
    assert files(tmp_path / "second") == {
        *(f"train/good/Data/n{number}.png" for number in range(3)),
        "test/good/Data-n3.png",
    }
    again = run("import", collection / "split.csv", to)
    assert again.returncode == 4
    assert "expected no folder or an empty one" in again.stderr


READER = """
import numpy as np
from cdm_inspect.plugins import DatasetPart, Options, ReaderOffer
from cdm_inspect.plugins import hookimpl
class CubeOptions(Options):
    fault: str = ""
def read(source, options):
    random = np.random.default_rng(0)
    for number in range(3):
        pixels = random.integers(0, 60000, (32, 40, 3)).astype(np.uint16)
        mask = np.ones((32, 40), np.uint8)
        name = {"name": "../outside", "twice": "same"}.get(options.fault, f"cube{number}")
        if options.fault == "float": pixels = pixels / 60000
        if options.fault == "mask": mask = np.ones((32, 40, 3), np.uint8)
        if options.fault == "raises": raise OSError("no cube")
        label = "good" if number < 2 else "dent"
        yield DatasetPart(name=name, image=pixels, label=label,
            mask=mask if number == 2 or options.fault == "mask" else None,
            is_for_training=number < 2 or options.fault == "dent")
@hookimpl
def cdm_inspect_readers():
    yield ReaderOffer(contract=1, name="cubes", summary="Cubes.", read=read, options=CubeOptions)
"""


def test_a_reader_of_a_plugin_hands_over_pixels(run, install, tmp_path):
    install("cubes", READER)
    to = tmp_path / "cubes"
    assert run("import", "anywhere", to, "--reader", "cubes").returncode == 0
    kept = cv2.imread(str(to / "train/good/cube0.png"), cv2.IMREAD_UNCHANGED)[:, :, ::-1]
    first = np.random.default_rng(0).integers(0, 60000, (32, 40, 3)).astype(np.uint16)
    assert np.array_equal(kept, first)
    for fault, message in (
        ("name", "plain name"),
        ("twice", "two parts of the collection are called 'same'"),
        ("float", "uint8 or uint16"),
        ("mask", "expected a mask (height, width)"),
        ("raises", "OSError: no cube"),
        ("dent", "only good parts are to learn from"),
    ):
        failed = run(
            "import", "anywhere", tmp_path / fault, "--reader=cubes", f"--option=fault={fault}"
        )
        assert failed.returncode == 3, fault
        assert message in failed.stderr
        assert not Path(tmp_path / "outside.png").exists()
    for words, code, message in (
        (("--reader=cubes", "--option=colour=red"), 2, "option.colour"),
        (("--reader=cubes", "--option=colour"), 2, "KEY=VALUE"),
        (("--reader=rings",), 3, "reader 'rings'; there are: cubes, table"),
    ):
        failed = run("import", "anywhere", tmp_path / "never", *words)
        assert failed.returncode == code
        assert message in failed.stderr

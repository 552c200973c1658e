"""What is recorded beside the verdict: which part it was, and what it was judged with."""

from pathlib import Path

from sqlalchemy import select

from cdm_inspect.images import decode_image, find_images
from cdm_inspect.project import open_project
from cdm_inspect.records import InspectionQuery, Verdict, inspection_json
from cdm_inspect.storage.schema import CalibrationRow, LineVersionRow, ModelRow
from cdm_inspect.workflows.inspect import inspect

IDENTITY = """
[lines.A.identity]
serial = '(\\d+)\\.png$'
lot = '/(test)/'
station = "press 3"
"""


def test_a_part_is_known_by_its_path_and_its_model_by_the_record(line):
    with (line / "cdm-inspect.toml").open("a") as file:
        file.write(IDENTITY)
    project = open_project(line, line="A")
    paths = find_images(line / "data" / "A" / "test" / "good")[:2]
    stored = list(inspect(project, "A", paths, device="cpu"))
    assert [part.serial for part in stored] == [path.stem for path in paths]
    assert {(part.lot, part.station, part.camera) for part in stored} == {("test", "press 3", "")}
    with project.open_store() as store:
        assert store.count(InspectionQuery(serial=stored[0].serial)) == 1
        with store.database.reading() as session:
            (version,) = session.scalars(select(LineVersionRow))
            (model,) = session.scalars(select(ModelRow))
            (calibration,) = session.scalars(select(CalibrationRow))
    assert version.configuration["identity"]["station"] == "press 3"
    assert model.id == stored[0].model
    assert model.record["preparation"]
    assert calibration.id == stored[0].calibration
    assert calibration.record["threshold"] == stored[0].threshold
    assert "scores" not in calibration.record


def test_what_the_model_makes_of_flagged_parts_is_kept(line):
    """Of those that pass, which nobody looks at, it is not."""
    project = open_project(line, line="A")
    stored = list(inspect(project, "A", find_images(line / "data" / "A" / "test"), device="cpu"))
    flagged = [part for part in stored if part.verdict is not Verdict.PASS]
    assert 0 < len(flagged) < len(stored)
    with project.open_store() as store:
        for part in stored:
            said = inspection_json(part)["restoration"]
            if part not in flagged:
                assert (part.restoration_sha256, said) == ("", None)
                continue
            assert said == part.restoration_sha256
            kept = decode_image(store.read_file(said), Path("restoration.png"))
            assert kept.pixels.shape == (64, 64, 3)
            assert kept.pixels.std() > 1

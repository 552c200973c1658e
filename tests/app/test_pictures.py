"""Pictures of parts: what a store that fails for a moment leaves behind, and how large they are."""

import io
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from cdm_inspect.project import open_project
from cdm_inspect.review import ReviewDesk
from cdm_inspect.testing.specimens import a_part, a_review
from cdm_inspect_review.sessions import Signer, plant_secret

PROJECT = """\
[lines.A]
normal = "good"

[lines.B]
normal = "good"
images.max_pixels = 70_000_000
"""


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures") / "plant"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text(PROJECT)
    return root


def photograph(side, seed=0):
    picture = np.random.default_rng(seed).integers(0, 255, (8, 8), np.uint8)
    return cv2.imencode(".png", cv2.resize(picture, (side, side)))[1].tobytes()


@pytest.fixture
def add(plant):
    with open_project(plant).open_store() as store:
        yield lambda number, data, **facts: store.append(a_part(number, **facts), evidence=data)


@pytest.fixture
def session(server, enter):
    return enter(server, "mori")[0]


def test_a_read_that_fails_once_is_forgotten(plant, server, session, ask, add):
    part = add(1, photograph(64))
    (file,) = plant.glob(f"images/**/{part.image_sha256}*")
    whole = file.read_bytes()
    body = {
        "line": "A",
        "queue": "flagged",
        "order": "oldest",
        "holder": "screen-of-it",
        "count": 1,
    }

    def size():
        status, _, answer = ask(
            server,
            "/cdm/desk/take",
            "POST",
            json.dumps(body),
            cookie=f"cdm_session={session}",
            x_desk_token=session,
        )
        assert status == 200
        return json.loads(answer)["parts"][0]["size"]

    file.unlink()
    file.mkdir()  # reading it is an error of the system, as on a share that is away
    assert size() is None
    file.rmdir()
    file.write_bytes(whole)
    assert size() == [64, 64]


def test_what_is_alike_is_asked_of_a_store_that_was_away(plant, add):
    parts = [add(number, photograph(64)) for number in (11, 12)]
    with open_project(plant).open_store() as store:
        desk = ReviewDesk(store)
        for part in parts:
            store.record_review(a_review(part.id))
        (file,) = plant.glob(f"images/**/{parts[0].image_sha256}*")
        whole = file.read_bytes()
        file.unlink()
        file.mkdir()
        assert desk.alike(parts[0]) == ()
        file.rmdir()
        file.write_bytes(whole)
        assert [other.id for other in desk.alike(parts[0])] == [parts[1].id]


def test_the_largest_photographs_that_a_line_takes_are_shown(plant, server, session, ask, add):
    part = add(21, photograph(8200), line="B")
    signer = Signer(plant_secret(plant))
    for kind, media_type in (("photo", "image/jpeg"), ("full", "image/png")):
        address = signer.sign_path(f"/cdm/pictures/{kind}/{part.image_sha256}", 3600)
        status, headers, data = ask(server, address, cookie=f"cdm_session={session}")
        assert (status, headers["content-type"]) == (200, media_type)
        assert max(Image.open(io.BytesIO(data)).size) == (2048 if kind == "photo" else 8200)

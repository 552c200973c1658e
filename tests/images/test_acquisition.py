import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from cdm_inspect.images import Acquisition, Envelope


def photograph(seed=0, exposure=0.0, contrast=1.0):
    """A textured disc before a dark ground, with a little noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64]
    disc = np.hypot(y - 32, x - 32) < 24
    image = np.where(disc, 0.3 + 0.15 * np.sin(x), -0.6) * contrast + exposure
    return np.clip(image + random.normal(scale=0.02, size=image.shape), -1, 1)[None].astype("f4")


def test_measures_are_what_they_say():
    half = np.full((1, 8, 8), -1.0, np.float32)
    half[:, :, 4:] = 1.0
    found = Acquisition.of(half)
    assert (found.exposure, found.contrast) == (0.5, 0.5)
    assert (found.dark, found.bright) == (0.5, 0.5)
    assert found.histogram[0] == 0.5
    assert found.histogram[-2:] == (0.5, 1.0)
    # Light and gain do not touch the focus; blur does, the more the stronger.
    sharp = photograph()
    softer = [cv2.GaussianBlur(sharp[0], (0, 0), sigma)[None] for sigma in (0.7, 1.5, 3.0)]
    focus = [Acquisition.of(image).focus for image in (sharp, *softer)]
    assert focus == sorted(focus, reverse=True)
    assert focus[0] - focus[1] > 0.5
    assert Acquisition.of(0.5 * sharp - 0.2).focus == pytest.approx(focus[0], abs=0.01)


def test_only_where_the_line_looks():
    """What lies outside may be anything."""
    region = np.zeros((64, 64), bool)
    region[16:48, 16:48] = True
    part = photograph()
    other = np.where(region, part, 1.0).astype(np.float32)
    # The second derivative on the border sees a pixel beyond it.
    region[16], region[47], region[:, 16], region[:, 47] = False, False, False, False
    assert Acquisition.of(other, region) == Acquisition.of(part, region)
    assert Acquisition.of(other).bright > Acquisition.of(part).bright


def test_a_colour_image_is_measured_by_its_grey():
    grey = photograph()
    assert Acquisition.of(np.repeat(grey, 3, axis=0)).exposure == pytest.approx(
        Acquisition.of(grey).exposure
    )


@pytest.fixture(scope="module")
def envelope():
    random = np.random.default_rng(1)
    parts = [photograph(seed, random.uniform(-0.1, 0.1)) for seed in range(30)]
    return Envelope.around([Acquisition.of(part) for part in parts])


def test_other_good_parts_are_inside(envelope):
    random = np.random.default_rng(2)
    for seed in range(100, 200):
        assert envelope.outside(Acquisition.of(photograph(seed, random.uniform(-0.1, 0.1)))) == ""


def test_a_small_defect_is_no_reason_to_retake(envelope):
    part = photograph(5)
    part[:, 28:34, 28:34] = 0.9
    part[:, 40, 20:44] = -1.0
    assert envelope.outside(Acquisition.of(part)) == ""


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (photograph(3, exposure=0.5), "exposure"),
        (photograph(3, exposure=-0.5), "dark"),
        (photograph(3, contrast=0.3), "contrast"),
        (cv2.GaussianBlur(photograph(3)[0], (0, 0), 2.0)[None], "focus"),
        (np.clip(photograph(3) * 3, -1, 1), "dark"),
        (-photograph(3), "exposure"),
        (np.sort(photograph(3), axis=2)[:, :, ::-1].copy(), "focus"),
    ],
)
def test_what_was_taken_otherwise_is_outside_and_says_how(envelope, image, named):
    text = envelope.outside(Acquisition.of(image.astype(np.float32)))
    assert text.startswith(named)
    assert "take the photograph again" in text
    assert "Check" in text


def test_grey_levels_that_no_good_part_has_are_outside(envelope):
    usual = Acquisition.of(photograph(3))
    strange = replace(usual, histogram=tuple(np.linspace(0.03, 1, 32)))
    assert envelope.outside(strange).startswith("grey levels differ")


def test_one_photograph_makes_an_envelope_and_it_survives_json():
    found = Acquisition.of(photograph())
    envelope = Envelope.around([found])
    assert envelope.outside(found) == ""
    assert Envelope.from_json(json.loads(json.dumps(envelope.to_json()))) == envelope

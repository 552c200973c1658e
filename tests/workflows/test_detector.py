"""The method on arrays, as programs use it."""

import numpy as np
import pytest
import torch

from cdm_inspect import Detector
from cdm_inspect.errors import CheckpointMismatch, ConfigError, ImageError, TooFewImages

SIZE = 32
SETTINGS = {
    "preset": "tiny",
    "training": {"images": "1600", "crop_size": 16, "batch_size": 8},
    "consistency": {"budget": "inf"},
}


def gratings(count, seed, blot=False):
    """Gratings with some noise, and perhaps a blot: (count, 1, 32, 32) in [-1, 1]."""
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 6, (count, 1, 1, 1))
    pictures = 0.5 * np.sin(np.arange(SIZE) * 0.8 + phase) * np.ones((count, 1, SIZE, SIZE))
    pictures += random.normal(0, 0.05, pictures.shape)
    if blot:
        pictures[:, :, 10:17, 12:19] = 0.95
    return np.clip(pictures, -1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def detector():
    ticks = []
    found = Detector.learn(
        gratings(40, 0), settings=SETTINGS, scorer="residual", device="cpu", tick=ticks.append
    )
    assert ticks[-1].progress == 1.0
    return found


def test_it_tells_odd_images_from_good_ones(detector):
    good, odd = detector.score(gratings(10, 1)), detector.score(gratings(10, 2, blot=True))
    assert good.maps.shape == (10, SIZE, SIZE)
    assert odd.scores.min() > good.scores.max()
    assert len(detector.held_out_scores) == 8
    assert detector.p_value(float(odd.scores.max())) == 1 / 9
    assert detector.p_value(-1.0) == 1.0


def test_what_was_learnt_can_be_kept(detector):
    again = Detector.from_bytes(detector.to_bytes())
    images = gratings(4, 3)
    assert torch.equal(again.score(images).scores, detector.score(images).scores)
    assert torch.equal(again.score(images[:1]).scores, detector.score(images).scores[:1])
    assert again.held_out_scores == detector.held_out_scores


def test_what_cannot_be_learnt_from_is_said(detector):
    good = gratings(20, 0)
    for images, error, message in (
        (good[:, 0], ImageError, r"\(count, 1 or 3, height, width\)"),
        (good.astype(np.float64), ImageError, "float32"),
        (good[..., :30], ImageError, "divisible by 8"),
        (3 * good, ImageError, r"in \[-1, 1\]"),
        (np.where(good > 0.2, np.nan, good), ImageError, r"in \[-1, 1\]"),
        (good[:3], TooFewImages, "at least 8 different good images, found 3"),
        (np.repeat(good[:2], 10, axis=0), TooFewImages, "found 2"),
    ):
        with pytest.raises(error, match=message):
            Detector.learn(images, settings=SETTINGS)
    with pytest.raises(ConfigError, match=r"training\.masked_shar: .*\n.*presett: "):
        Detector.learn(good, settings={"presett": "tiny", "training": {"masked_shar": 0.2}})
    with pytest.raises(ImageError, match="expected images of channels, height and width"):
        detector.score(np.repeat(good, 3, axis=1))


def test_other_bytes_are_refused(detector):
    from cdm_inspect.model.checkpoint import dump_tensors

    with pytest.raises(CheckpointMismatch, match="format 1, found None"):
        Detector.from_bytes(dump_tensors({"x": torch.zeros(1)}, {}))

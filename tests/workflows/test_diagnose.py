"""`diagnose` and `sample`: what they say of oracles, of a trained model, and of a broken one."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from cdm_inspect.errors import CheckpointMismatch, InvalidOption
from cdm_inspect.model.checkpoint import load_model
from cdm_inspect.model.diagnosis import (
    diagnose_model,
    estimate_mean,
    image_statistics,
    restore,
)
from cdm_inspect.plugins import Posterior
from cdm_inspect.project import open_project
from cdm_inspect.workflows.diagnose import diagnose
from cdm_inspect.workflows.sample import sample
from cdm_inspect.workflows.train import train


class WhiteNoise:
    """The exact denoiser of independent pixels N(0, v), with an offset where it is spoilt."""

    def __init__(self, variance, offset=0.0, doubt=1.0):
        self.variance, self.offset, self.doubt = variance, offset, doubt

    def __call__(self, noisy, sigma):
        share = self.variance / (self.variance + sigma**2)
        mean = noisy * share + self.offset
        variance = (sigma**2 * share * self.doubt).expand_as(noisy)
        return Posterior(mean, mean - noisy, variance.log())


def model_of(denoiser):
    card = SimpleNamespace(sigma_data=0.5)
    return SimpleNamespace(id="oracle", card=card, denoiser=denoiser, device="cpu")


@pytest.fixture
def parts():
    random = np.random.default_rng(0)
    return [0.5 * random.normal(size=(12, 1, 16, 16)).astype(np.float32) for _ in range(2)]


def look_at(denoiser, parts):
    return diagnose_model(
        model_of(denoiser), *parts, sigmas=(0.2, 0.5), starts=(0.5,), steps=(2, 16)
    )


def test_an_exact_denoiser_is_found_sound(parts):
    found = look_at(WhiteNoise(0.25), parts)
    for level in found.levels:
        assert level.gap.low <= 0 <= level.gap.high
        assert level.curl.value == pytest.approx(0, abs=1e-6)
        assert level.z_squared.value == pytest.approx(1, abs=0.1)
        assert level.overfit.low < 1 < level.overfit.high
        # The floor of DSM: posterior variance times the weight is 1 for every level.
        assert level.dsm_held_out.value == pytest.approx(1, abs=0.1)
    few, many = found.drifts
    assert many.drift.value < few.drift.value
    assert not found.warnings


def test_a_spoilt_denoiser_is_found_out(parts):
    sound, spoilt = (look_at(WhiteNoise(0.25, offset), parts) for offset in (0.0, 0.3))
    for before, after in zip(sound.levels, spoilt.levels, strict=True):
        assert after.gap.low > 0
        assert after.dsm_held_out.low > before.dsm_held_out.high
    assert spoilt.drifts[-1].drift.low > sound.drifts[-1].drift.high
    # An offset counts most where there is least noise; nothing else is wrong.
    [warning] = spoilt.warnings
    assert warning.startswith("the learnt variance is off by more than 2 x at sigma 0.2")


def test_a_model_that_is_too_sure_is_warned_of(parts):
    found = look_at(WhiteNoise(0.25, doubt=0.2), parts)
    assert found.levels[0].z_squared.value == pytest.approx(5, rel=0.1)
    assert "learnt variance is off" in found.warnings[0]


def test_learning_by_heart_is_warned_of(parts):
    """A denoiser that knows its training parts returns the nearest of them."""
    known = torch.from_numpy(parts[0])

    class Memory(WhiteNoise):
        def __call__(self, noisy, sigma):
            square = (noisy[:, None] - known[None]).square().sum(dim=(2, 3, 4))
            share = (-square / (2 * sigma.view(-1, 1) ** 2)).softmax(dim=1)
            mean = torch.einsum("bk,kchw->bchw", share, known)
            return Posterior(mean, mean - noisy, torch.zeros_like(mean))

    found = look_at(Memory(0.25), parts)
    assert all(level.overfit.low > 2 for level in found.levels)
    assert "overfitting" in found.warnings[0]


def test_curl_of_a_rotating_field(parts):
    """Pixels rotated into each other: no gradient field can do that."""

    class Rotating(WhiteNoise):
        def __call__(self, noisy, sigma):
            mean = torch.cat([-noisy[..., 1::2], noisy[..., ::2]], dim=-1)
            return Posterior(mean, mean - noisy, torch.zeros_like(mean))

    found = look_at(Rotating(0.25), parts)
    assert found.levels[0].curl.value > 0.3


def test_statistics_see_brightness_contrast_and_scale():
    random = np.random.default_rng(0)
    noise = random.normal(size=(40, 1, 32, 32)).astype(np.float32) * 0.2
    rows = np.arange(32)
    wave = np.cos(2 * np.pi * rows / 16).astype(np.float32)[None, None, :, None] * 0.2
    base = image_statistics(noise)
    assert base.shape == (40, 10)
    brighter, stronger, waved = (
        image_statistics(x) for x in (noise + 0.1, 2 * noise, noise + wave)
    )
    assert np.allclose((brighter - base)[:, 0], 0.1, atol=1e-6)
    assert np.allclose((brighter - base)[:, 1:], 0, atol=1e-5)
    assert np.allclose((stronger - base)[:, 1], np.log(4), atol=1e-3)
    changed = (waved - base).mean(axis=0)[2:]
    assert changed.argmax() < 5
    assert changed[-2:].max() < 0.05


def test_an_estimate_of_pairs_is_tighter_than_of_unpaired_parts():
    random = np.random.default_rng(0)
    base = random.normal(1, 0.3, 40)
    near = base + random.normal(0.1, 0.01, 40)

    def difference(a, b, axis=-1):
        return a.mean(axis=axis) - b.mean(axis=axis)

    paired = estimate_mean(near, base, statistic=difference, paired=True)
    apart = estimate_mean(near, base, statistic=difference)
    assert paired.low < 0.1 < paired.high
    assert paired.high - paired.low < 0.1 * (apart.high - apart.low)


def test_restoring_follows_the_flow_of_an_oracle():
    parts = 0.5 * torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = restore(model_of(WhiteNoise(0.25)), parts, start=0.5, steps=64)
    noise = torch.randn(parts.shape, generator=torch.Generator().manual_seed(2))
    exact = (parts + 0.5 * noise) * np.sqrt(0.25 / (0.25 + 0.25))
    assert float((found - exact).abs().max()) < 0.02


@pytest.mark.slow
def test_diagnose_draws_one_page_and_compares(line, run):
    done = run(
        "--project", line, "--json", "diagnose", "--line", "A", "--parts", 2,
        "--compare", line / "models" / "A",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["levels"]) == 6
    assert len(found["drifts"]) == 16
    assert found["compare"]["levels"] == found["levels"]  # the same model: the same figures
    assert {"dsm_train", "dsm_held_out", "overfit", "gap", "curl", "z_squared"} <= set(
        found["levels"][0]
    )
    with Image.open(found["report"]) as picture:
        assert picture.width > 1000
    beside = json.loads(Path(found["report"]).with_suffix(".json").read_text())
    assert beside == found


def test_diagnose_refuses_a_model_of_other_images(line):
    other = line / "other"
    train(
        open_project(line, line="A", overrides=["image_size=48", "training.images=16"]),
        "A",
        device="cpu",
    )
    (line / "models" / "A").rename(other)
    load_model(other)
    project = open_project(line, line="A", overrides=["training.images=16"])
    train(project, "A", device="cpu")
    with pytest.raises(CheckpointMismatch, match="differently"):
        diagnose(project, "A", compare=other, parts=2)


@pytest.mark.parametrize("sampler", ["heun", "dpm-solver", "ancestral", "euler-maruyama"])
def test_sample_writes_a_grid(line, sampler):
    project = open_project(line, line="A")
    path = sample(project, "A", count=4, sampler=sampler, steps=4, sigma_max=2.0)
    with Image.open(path) as picture:
        assert picture.size == (2 * 66 + 2, 2 * 66 + 2)
        assert np.asarray(picture).std() > 5
    first = path.read_bytes()
    sample(project, "A", count=4, sampler=sampler, steps=4, sigma_max=2.0)
    assert path.read_bytes() == first


def test_sample_names_the_samplers_it_has(line):
    with pytest.raises(InvalidOption, match="ancestral"):
        sample(open_project(line, line="A"), "A", sampler="magic")

"""Synthetic defects: where they are said to be, as strong as they are said to be, from a seed."""

import numpy as np
import pytest

from cdm_inspect.images import KINDS, battery, damage


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def part(request):
    random = np.random.default_rng(0)
    texture = random.normal(0, 0.2, (request.param, 96, 128)).astype(np.float32)
    return np.clip(texture, -1, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_is_where_its_mask_says(part, kind):
    for seed in range(20):
        random = np.random.default_rng(seed)
        found = damage(part, kind, size=0.15, contrast=2.0, random=random)
        assert found.image.dtype == np.float32
        assert found.image.shape == part.shape
        assert np.abs(found.image).max() <= 1
        change = np.abs(found.image - part).max(axis=0)
        assert found.mask.any()
        assert change[found.mask].mean() > 5 * change[~found.mask].mean()
        # What has changed outside lies in the soft edge.
        assert change[~found.mask].sum() < 0.35 * change.sum()
        rows, columns = np.nonzero(found.mask)
        assert np.ptp(rows) < 0.5 * 96
        assert np.ptp(columns) < 0.5 * 96


@pytest.mark.parametrize("kind", KINDS)
def test_more_contrast_changes_more_and_size_is_size(part, kind):
    def make(size, contrast):
        return damage(part, kind, size=size, contrast=contrast, random=np.random.default_rng(3))

    faint, strong = (np.abs(make(0.2, c).image - part).sum() for c in (0.3, 1.2))
    assert strong > 1.5 * faint
    small, large = (make(s, 1.0).mask.sum() for s in (0.08, 0.3))
    assert large > 2 * small


def test_a_battery_follows_from_its_seed(part):
    parts = np.stack([part, part[:, ::-1]])
    one, two = (list(battery(parts, seed=7)) for _ in range(2))
    other = list(battery(parts, seed=8))
    assert len(one) == len(KINDS) * 4 * 3
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, two, strict=True))
    assert any(not np.array_equal(a.image, b.image) for a, b in zip(one, other, strict=True))
    assert {made.kind for made in one} == set(KINDS)


def test_a_spot_is_as_bright_as_it_is_said_to_be(part):
    found = damage(part, "spot", size=0.2, contrast=2.0, random=np.random.default_rng(1))
    deviation = part.mean(axis=0).std()
    inner = np.abs(found.image - part).max()
    assert inner == pytest.approx(2 * deviation, rel=0.05)

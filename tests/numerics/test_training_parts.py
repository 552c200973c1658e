"""Crops, augmentation labels and averaged weights against what they must be."""

import numpy as np
import pytest
import torch
from torch import nn

from cdm_inspect.config import AugmentationConfig
from cdm_inspect.model.diffusion import pixel_grid
from cdm_inspect.model.training import CropSampler, MovingAverage
from cdm_inspect.model.training.held_out import DefectCheck, OverfitAlarm
from cdm_inspect.plugins import Posterior

OFF = dict(probability=0.0)


def test_crops_are_copies_and_know_where_they_are():
    images = torch.rand(3, 2, 40, 48, generator=torch.Generator().manual_seed(0))
    sampler = CropSampler(images, crop_size=16, augmentation=AugmentationConfig(**OFF))
    crops = sampler.draw(20, torch.Generator().manual_seed(1))
    grid = pixel_grid(40, 48)[0]
    for crop, position, label in zip(*crops, strict=True):
        row = int((grid[0, :, 0] - position[0, 0, 0]).abs().argmin())
        column = int((grid[1, 0] - position[1, 0, 0]).abs().argmin())
        area = slice(row, row + 16), slice(column, column + 16)
        assert any(torch.allclose(crop, image[:, *area], atol=1e-4) for image in images)
        assert torch.allclose(position, grid[:, *area], atol=1e-5)
        assert not label.any()


def test_the_overfit_alarm_counts_checks_in_a_row():
    alarm = OverfitAlarm()
    for loss, risen in ((1.0, 0), (0.5, 0), (0.505, 0), (0.6, 1), (0.7, 2), (0.5, 0), (0.6, 1)):
        alarm.note(loss, weight=0.0)
        assert alarm.risen == risen
    # A new objective, or a learning rate that rises again, is no overfitting.
    alarm.note(0.8, weight=0.5)
    assert alarm.risen == 0
    alarm.note(0.9, weight=0.5)
    assert alarm.risen == 1
    alarm.restart()
    alarm.note(0.95, weight=0.5)
    assert alarm.risen == 0


def test_the_overfit_alarm_heeds_defects_that_stand_out_less():
    alarm = OverfitAlarm()
    found = [1.0, 2.0, 3.0, 2.0]
    alarm.note(0.9, found, weight=0.0)
    alarm.note(0.8, [1.1, 1.9, 3.1, 1.8], weight=0.0)  # no clear fall
    assert (alarm.risen, alarm.is_dull) == (0, False)
    alarm.note(0.7, [value - 0.1 for value in found], weight=0.0)
    alarm.note(0.6, [value - 0.3 for value in found], weight=0.0)
    assert (alarm.risen, alarm.is_dull) == (2, True)
    alarm.note(0.5, [value + 0.1 for value in found], weight=0.0)
    assert (alarm.risen, alarm.is_dull) == (0, False)
    # A check that has looked at no defects says nothing of them.
    alarm.note(0.5, weight=0.0)
    assert not alarm.is_dull


class Blind(nn.Module):
    """Restores the mean of the images: every pixel's error is its distance from it."""

    def forward(self, noisy, sigma, *, position):
        flat = noisy.mean(dim=(2, 3), keepdim=True).expand_as(noisy)
        return Posterior(mean=flat, displacement=flat - noisy, log_variance=torch.zeros_like(noisy))


def test_defects_stand_out_at_their_place():
    images = 0.05 * torch.randn(6, 1, 64, 64, generator=torch.Generator().manual_seed(3))
    plain = CropSampler(images, crop_size=32, augmentation=AugmentationConfig(probability=0.0))
    found = DefectCheck(plain, batch=28).measure(Blind(), torch.device("cpu"))
    by_eights = DefectCheck(plain, batch=8).measure(Blind(), torch.device("cpu"))
    assert np.allclose(found, by_eights, atol=1e-6)
    assert len(found) == 28
    assert np.median(found) > 0.3


def test_same_generator_same_crops():
    sampler = CropSampler(torch.rand(4, 1, 32, 32), crop_size=16, augmentation=AugmentationConfig())
    first, second = (sampler.draw(8, torch.Generator().manual_seed(5)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_labels_are_zero_exactly_where_nothing_was_done():
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    plain = CropSampler(images, crop_size=32, augmentation=AugmentationConfig(**OFF))
    changed = CropSampler(images, crop_size=32, augmentation=AugmentationConfig(probability=0.2))
    crops = changed.draw(200, torch.Generator().manual_seed(2))
    originals = plain.images
    untouched = (
        torch.stack(
            [min((crop - image).abs().max() for image in originals) for crop in crops.images]
        )
        < 1e-4
    )
    assert torch.equal(untouched, ~crops.labels.any(dim=1))
    assert 0 < int(untouched.sum()) < 200


@pytest.mark.parametrize(("flag", "axis"), [("x_flip", -1), ("y_flip", -2)])
def test_flips_are_exact_and_labelled(flag, axis):
    off = dict.fromkeys(
        ("x_flip", "y_flip", "scale", "rotation", "anisotropy", "translation"), False
    )
    image = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    sampler = CropSampler(
        image,
        crop_size=16,
        augmentation=AugmentationConfig(probability=1.0, **{**off, flag: True}),
    )
    crops = sampler.draw(1, torch.Generator().manual_seed(0))
    assert torch.allclose(crops.images, image.flip(axis), atol=1e-5)
    assert crops.labels.sum() == 1


def test_unlabelled_flips_carry_no_label():
    image = torch.rand(1, 1, 16, 16)
    sampler = CropSampler(
        image, crop_size=16, augmentation=AugmentationConfig(probability=0.0, flips="horizontal")
    )
    crops = sampler.draw(32, torch.Generator().manual_seed(0))
    kinds = {bool(torch.allclose(crop, image[0], atol=1e-5)) for crop in crops.images}
    assert kinds == {True, False}
    assert not crops.labels.any()


def test_average_halves_its_error_in_one_half_life():
    target, start = nn.Linear(3, 3).double(), nn.Linear(3, 3).double()
    average = MovingAverage(start, half_life_share=0.05)
    before = average.module.weight - target.weight
    # 5 % of 20,000 images is a half-life of 1,000: one step of 1,000 images.
    average.update(target, images_seen=20_000, batch=1000)
    assert torch.allclose(average.module.weight - target.weight, before / 2, atol=1e-6)


def test_average_forgets_the_start():
    target, average = nn.Linear(2, 2), MovingAverage(nn.Linear(2, 2), 0.05)
    average.update(target, images_seen=16, batch=16)
    assert torch.allclose(average.module.weight, target.weight, atol=1e-4)

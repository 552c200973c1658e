"""The consistency term: what it estimates, where its gradient flows, what it costs.

The tests named after a defect guard against one of the six found in the published code.
"""

import math
from unittest.mock import patch

import pytest
import torch
from torch import nn

from cdm_inspect.config import AugmentationConfig, ConsistencyConfig, LineConfig, TrainingConfig
from cdm_inspect.model.diffusion import (
    SIGMA_MIN,
    ConsistentDenoiser,
    NetworkSize,
    Objective,
    UNet,
    consistency_product,
    pixel_grid,
)
from cdm_inspect.model.training import CropSampler, Training
from cdm_inspect.plugins import Posterior

SMALL = NetworkSize(width=8, multipliers=(1, 2), blocks=1)


class ScalarOracle:
    """N(0, v) shifted by an offset, in the shape that the objective calls; keeps its calls."""

    def __init__(self, variance, offset):
        self.variance, self.offset, self.calls = variance, offset, []

    def __call__(self, noisy, sigma, *, position=None, labels=None, dropout=None):
        self.calls.append((noisy, sigma, labels, dropout))
        mean = noisy * self.variance / (self.variance + sigma**2) + self.offset
        return Posterior(mean, mean - noisy, torch.zeros_like(mean))


def make_denoiser(**changes):
    torch.manual_seed(0)
    size = NetworkSize(**{**vars(SMALL), **changes})
    denoiser = ConsistentDenoiser(size=size, centre=(0.1,), sigma_data=0.4)
    for parameter in denoiser.parameters():  # an untrained network says nothing at all
        torch.nn.init.normal_(parameter, std=0.1)
    return denoiser


def batch_of(count, seed=0):
    clean = 0.4 * torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    return clean, pixel_grid(16, 16).expand(count, -1, -1, -1)


def test_two_sample_product_is_unbiased_and_signed():
    """Its mean is the squared martingale residual; a single square would add the variance."""
    v, c, count = 0.25, 0.3, 400_000
    oracle = ScalarOracle(v, c)
    generator = torch.Generator().manual_seed(0)
    sigma = torch.full((count, 1, 1, 1), 0.5)
    noisy = torch.randn(count, 1, 1, 1, generator=generator)
    mean = oracle(noisy, sigma).mean
    product = consistency_product(
        oracle, noisy=noisy, sigma=sigma, mean=mean, generator=generator, max_jump=0.2
    )
    ends, after = oracle.calls[-1][0].split(count), oracle.calls[-1][1][:count]
    exact = (c * (1 - (after / 0.5) ** 2) * v / (v + after**2)).square()
    error = float(product.std()) / math.sqrt(count)
    assert abs(float(product.mean()) - float(exact.mean())) < 3 * error
    assert 0.3 < float((product < 0).float().mean()) < 0.5
    single = (ends[0] * v / (v + after**2) + c - mean).square().mean()
    assert float(single) > 2 * float(exact.mean())
    assert (after <= 0.5).all()
    assert (after >= 0.4 - 1e-6).all()


class Curved:
    """h(x, s) = sin(x) - s / 10: no denoiser of anything, and far from consistent."""

    def __call__(self, noisy, sigma, **kept):
        mean = noisy.sin() - sigma / 10
        return Posterior(mean, mean - noisy, torch.zeros_like(mean))


def test_antithetic_pairs_keep_the_mean_and_lose_the_noise():
    """Two independent pairs; a product within a pair would have the mean -Var."""
    count, sigma = 400_000, torch.full((1, 1, 1, 1), 0.5)
    noisy = torch.full((count, 1, 1, 1), 0.8)
    mean = Curved()(noisy, sigma).mean
    plain, pairs = (
        consistency_product(
            Curved(),
            noisy=noisy,
            sigma=sigma.expand(count, 1, 1, 1),
            mean=mean,
            generator=torch.Generator().manual_seed(3),
            max_jump=0.2,
            is_antithetic=is_antithetic,
        )
        for is_antithetic in (False, True)
    )
    difference = float(plain.mean()) - float(pairs.mean())
    assert abs(difference) < 4 * float(plain.std()) / math.sqrt(count)
    # Exactly: x' is normal with mean r x + (1 - r) h and variance s'^2 (1 - r), and so
    # E sin x' = sin(mean) exp(-variance / 2); averaged over s' here.
    after = 0.5 * (1 - 0.2 * (torch.arange(10_000) + 0.5) / 10_000).double()
    ratio = (after / 0.5) ** 2
    centre = ratio * 0.8 + (1 - ratio) * float(mean[0])
    reached = centre.sin() * (-(after**2) * (1 - ratio) / 2).exp() - after / 10
    exact = float((reached - float(mean[0])).square().mean())
    assert float(pairs.mean()) == pytest.approx(exact, abs=4 * float(pairs.std()) / count**0.5)
    assert float(pairs.std()) < float(plain.std()) / 4


class Smooth(nn.Module):
    """A small float64 denoiser, so that finite differences mean something."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 4)).double()
        self.frozen = []

    def __call__(self, noisy, sigma, **kept):
        self.frozen.append((noisy, sigma))
        return self.at(noisy, sigma)

    def at(self, noisy, sigma):
        level = sigma.expand(len(noisy), 1, 1, 1).flatten(1)
        mean = self.layers(torch.cat([noisy.flatten(1), level], 1)).view_as(noisy)
        return Posterior(mean, mean - noisy, torch.zeros_like(mean))


def test_gradient_leaves_the_trajectory_alone():
    """Autograd equals central differences with the end points frozen, to 1e-6; and not without."""
    denoiser = Smooth()
    generator = torch.Generator().manual_seed(5)
    sigma = torch.tensor([0.3, 0.5, 0.9]).double().view(3, 1, 1, 1)
    noisy = torch.randn(3, 1, 2, 2, generator=generator, dtype=torch.float64)
    mean = denoiser.at(noisy, sigma).mean
    product = consistency_product(
        denoiser, noisy=noisy, sigma=sigma, mean=mean, generator=generator, max_jump=0.5
    )
    parameters = list(denoiser.parameters())
    gradients = torch.autograd.grad(product.mean(), parameters)
    ends, level = denoiser.frozen[0]

    @torch.no_grad()
    def frozen_loss():
        now = denoiser.at(noisy, sigma).mean
        first, second = denoiser.at(ends, level).mean.split(3)
        return float(((first - now) * (second - now)).mean())

    step = 1e-5
    for parameter, gradient in zip(parameters, gradients, strict=True):
        flat = parameter.data.view(-1)
        for index in range(0, len(flat), 7):
            flat[index] += step
            above = frozen_loss()
            flat[index] -= 2 * step
            below = frozen_loss()
            flat[index] += step
            expected = (above - below) / (2 * step)
            assert float(gradient.view(-1)[index]) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert not ends.requires_grad


def test_a_bootstrapped_gradient_leaves_the_lower_ends_alone():
    """The value is that of the product; the gradient -(d1 + d2) dD, the ends held fixed."""
    denoiser = Smooth()
    sigma = torch.tensor([0.3, 0.5, 0.9]).double().view(3, 1, 1, 1)
    noisy = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(5)).double()
    mean = denoiser.at(noisy, sigma).mean
    parameters = list(denoiser.parameters())
    product, bootstrapped = (
        consistency_product(
            denoiser,
            noisy=noisy,
            sigma=sigma,
            mean=mean,
            generator=torch.Generator().manual_seed(7),
            max_jump=0.5,
            is_bootstrapped=is_bootstrapped,
        )
        for is_bootstrapped in (False, True)
    )
    assert torch.equal(product, bootstrapped)
    gradients = torch.autograd.grad(bootstrapped.mean(), parameters, retain_graph=True)
    ends, level = denoiser.frozen[-1]
    first, second = denoiser.at(ends, level).mean.detach().split(3)
    pull = ((first - mean) + (second - mean)).detach()
    expected = torch.autograd.grad(-(pull * mean).mean(), parameters)
    for ours, theirs in zip(gradients, expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_defect_1_all_calls_carry_the_augmentation_labels():
    """The published code drops them inside the trajectory."""
    seen = []
    denoiser = make_denoiser()
    forward = UNet.forward

    def spy(self, scaled, noise, position, labels=None, dropout=None):
        seen.append(labels)
        return forward(self, scaled, noise, position, labels, dropout)

    labels = torch.randn(8, 9, generator=torch.Generator().manual_seed(2))
    clean, position = batch_of(8)
    with patch.object(UNet, "forward", spy):
        Objective(denoiser, variance_weight=0.2, max_jump=0.2)(
            clean, position, labels, torch.Generator().manual_seed(0), 1.0, 2
        )
    assert len(seen) == 2
    assert torch.equal(seen[0], labels)
    assert torch.equal(seen[1], torch.cat([labels[:2], labels[:2]]))


def test_defect_2_training_works_without_augmentation():
    """The published code repeats labels that are None; here None is the label zero, exactly."""
    clean, position = batch_of(8)
    objective = Objective(make_denoiser(), variance_weight=0.2, max_jump=0.2)
    none, zero = (
        objective(clean, position, labels, torch.Generator().manual_seed(0), 1.0, 4)
        for labels in (None, torch.zeros(8, 9))
    )
    assert torch.equal(none.total, zero.total)
    assert float(none.consistency.detach()) != 0


def test_defect_3_dropout_masks_are_one_and_the_same():
    """Independent masks would add the variance over masks, Var D, to the product's mean.

    After a step of next to no length the ends are the start, and the product is next to nothing
    where masks are shared.
    """
    denoiser = make_denoiser(dropout=0.5).train()
    generator = torch.Generator().manual_seed(0)
    noisy, sigma = torch.randn(6, 1, 16, 16, generator=generator), torch.full((6, 1, 1, 1), 0.5)
    masks = denoiser.network.draw_dropout(6, generator)
    with torch.no_grad():
        mean = denoiser(noisy, sigma, dropout=masks).mean
        shared = consistency_product(
            denoiser,
            noisy=noisy,
            sigma=sigma,
            mean=mean,
            generator=generator,
            max_jump=1e-7,
            dropout=masks,
        )
        other = denoiser.network.draw_dropout(6, generator)
        apart = consistency_product(
            denoiser,
            noisy=noisy,
            sigma=sigma,
            mean=mean,
            generator=generator,
            max_jump=1e-7,
            dropout=other,
        )
    assert float(shared.abs().mean()) < 1e-4 * float(apart.abs().mean())


def test_defect_4_nothing_configured_is_ignored_and_nothing_is_drawn_twice(tiny_parts, tmp_path):
    """The published code stores five numbers that it never reads, and augments each batch twice."""
    short = TrainingConfig(images="64", batch_size=8, crop_size=16)
    config = LineConfig(normal="x", preset="tiny", training=short)
    read = set()

    def reading(self, name, original=ConsistencyConfig.__getattribute__):
        read.add(name)
        return original(self, name)

    with patch.object(ConsistencyConfig, "__getattribute__", reading):
        for schedule in ("ramp", "staged"):
            term = ConsistencyConfig(schedule=schedule, tolerance=0.0)
            settings = config.model_copy(update={"consistency": term})
            list(Training("A", settings, tiny_parts, tmp_path / schedule, device="cpu").run())
    # What "fine-tune" starts from is read before there is a training; it has a test of its own.
    assert set(ConsistencyConfig.model_fields) - {"checkpoint"} <= read
    training = Training("A", config, tiny_parts, tmp_path, device="cpu")
    counts = []
    draw = CropSampler.draw

    def counting(self, batch, generator):
        counts.append(self is training.setup.crops)
        return draw(self, batch, generator)

    with patch.object(CropSampler, "draw", counting):
        steps = len(list(training.run()))
    assert counts.count(True) == steps == 8


def test_defect_5_a_step_never_goes_up_in_noise():
    """The published code lets t' exceed t where t < 0.002."""
    oracle = ScalarOracle(0.25, 0.0)
    for level in (SIGMA_MIN / 2, SIGMA_MIN, SIGMA_MIN * 1.1, 80.0):
        sigma = torch.full((64, 1, 1, 1), level)
        noisy = torch.zeros(64, 1, 1, 1)
        consistency_product(
            oracle, noisy=noisy, sigma=sigma, mean=noisy, generator=torch.Generator(), max_jump=0.2
        )
        assert (oracle.calls[-1][1] <= sigma[0]).all()


@pytest.mark.parametrize(
    ("share", "is_bootstrapped", "ratio"),
    [(0.125, False, 1.25), (0.25, False, 1.5), (1.0, False, 3.0), (0.375, True, 1.25)],
)
def test_defect_6_cost_by_count_is_bounded_by_the_share(share, is_bootstrapped, ratio):
    """The DSM forward is reused; a pass forward and back counts as three forward alone."""
    images = []
    forward = UNet.forward

    def spy(self, scaled, *rest, **named):
        images.append(len(scaled) * (3 if torch.is_grad_enabled() else 1))
        return forward(self, scaled, *rest, **named)

    clean, position = batch_of(16)
    objective = Objective(
        make_denoiser(), variance_weight=0.2, max_jump=0.2, is_bootstrapped=is_bootstrapped
    )
    with patch.object(UNet, "forward", spy):
        objective(clean, position, None, torch.Generator(), 1.0, round(share * 16))
    assert sum(images) / (3 * 16) == ratio


def test_weighting_across_noise_levels():
    """`dsm` weighs as the DSM loss does, `flat` by its limit at high noise, 1 / sigma_data^2."""
    clean, position = batch_of(64)
    found = {}
    for is_flat in (False, True):
        objective = Objective(make_denoiser(), variance_weight=0.2, max_jump=0.2, is_flat=is_flat)
        generator = torch.Generator().manual_seed(0)
        with patch("cdm_inspect.model.diffusion.objective.consistency_product") as product:
            product.return_value = torch.ones_like(clean)
            found[is_flat] = objective(clean, position, None, generator, 1.0, 64)
    assert float(found[True].consistency.detach()) == pytest.approx(1 / 0.4**2)
    assert float(found[False].consistency.detach()) > 2 / 0.4**2
    assert torch.equal(found[True].dsm, found[False].dsm)


def test_conservativity_penalty_lowers_the_asymmetry_of_a_network():
    denoiser = make_denoiser()
    clean, position = batch_of(8)
    objective = Objective(
        denoiser,
        variance_weight=0.0,
        max_jump=0.2,
        conservativity_weight=1e3,
        conservativity_count=4,
    )
    optimizer = torch.optim.Adam(denoiser.parameters(), 3e-3)
    found = []
    for step in range(30):
        losses = objective(clean, position, None, torch.Generator().manual_seed(step % 3))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        found.append(float(losses.asymmetry.detach()))
    assert found[0] > 0
    assert sum(found[-3:]) < 0.3 * sum(found[:3])
    quiet = Objective(denoiser, variance_weight=0.0, max_jump=0.2)
    assert float(quiet(clean, position, None, torch.Generator()).asymmetry) == 0


def test_augmentation_off_draws_label_zero():
    sampler = CropSampler(
        torch.rand(2, 1, 32, 32), crop_size=16, augmentation=AugmentationConfig(probability=0.0)
    )
    assert not sampler.draw(8, torch.Generator()).labels.any()

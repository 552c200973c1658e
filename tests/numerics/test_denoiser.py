"""The denoiser and its network against what preconditioning promises."""

import math
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings, strategies as st

from cdm_inspect.model.diffusion import (
    OPEN_SIGMA,
    SIGMA_MAX,
    SIGMA_MIN,
    ConsistentDenoiser,
    NetworkSize,
    Objective,
    Preconditioning,
    checkerboard,
    draw_masked_sigma,
    draw_sigma,
    dsm_weight,
    gaussian_nll,
    karras_sigmas,
    pixel_grid,
    training_sigma,
)

SMALL = NetworkSize(width=8, multipliers=(1, 2), blocks=1)


def make_denoiser(seed=0, **changes):
    torch.manual_seed(seed)
    denoiser = ConsistentDenoiser(
        size=NetworkSize(**{**vars(SMALL), **changes}), centre=(0.1,), sigma_data=0.4
    )
    for parameter in denoiser.parameters():  # an untrained network says nothing at all
        torch.nn.init.normal_(parameter, std=0.1)
    return denoiser


@settings(deadline=None)
@given(st.floats(0.002, 80), st.floats(0.05, 2))
def test_preconditioning_scales_error_and_input_to_one(sigma, sigma_data):
    at = torch.tensor(sigma, dtype=torch.float64)
    scale = Preconditioning.at(at, sigma_data)
    assert float(dsm_weight(at, sigma_data) * scale.out**2) == pytest.approx(1, abs=1e-12)
    assert float(scale.into**2 * (at**2 + sigma_data**2)) == pytest.approx(1, abs=1e-12)


def test_preconditioned_input_and_target_have_unit_variance():
    generator = torch.Generator().manual_seed(0)
    clean = 0.35 * torch.randn(400_000, generator=generator, dtype=torch.float64)
    sigma = torch.tensor(0.4, dtype=torch.float64)
    noisy = clean + sigma * torch.randn(400_000, generator=generator, dtype=torch.float64)
    scale = Preconditioning.at(sigma, 0.35)
    assert float((scale.into * noisy).var()) == pytest.approx(1, rel=0.01)
    assert float(((clean - scale.skip * noisy) / scale.out).var()) == pytest.approx(1, rel=0.01)


def test_label_none_is_label_zero():
    denoiser = make_denoiser()
    x, sigma = torch.randn(2, 1, 16, 16), torch.full((2, 1, 1, 1), 0.3)
    zero = denoiser(x, sigma, labels=torch.zeros(2, 9))
    assert torch.equal(denoiser(x, sigma).mean, zero.mean)
    other = denoiser(x, sigma, labels=torch.ones(2, 9))
    assert not torch.allclose(other.mean, zero.mean)


def test_denoiser_returns_the_image_where_there_is_no_noise():
    x = torch.rand(1, 1, 16, 16) * 2 - 1
    posterior = make_denoiser()(x, torch.full((1, 1, 1, 1), 1e-6))
    assert torch.allclose(posterior.mean, x, atol=1e-5)


def test_displacement_keeps_its_digits_at_small_noise():
    """mean - y computed naively loses them: at sigma 1e-4 it is 2e-8 of an image of size 1."""
    denoiser = make_denoiser()
    torch.nn.init.zeros_(denoiser.network.to_mean.weight)
    torch.nn.init.zeros_(denoiser.network.to_mean.bias)
    x, sigma = torch.ones(1, 1, 8, 8), torch.full((1, 1, 1, 1), 1e-4)
    exact = -(1e-4**2) / (1e-4**2 + 0.4**2) * 0.9  # shrinks towards the centre 0.1
    displacement = denoiser(x, sigma).displacement
    assert torch.allclose(displacement, torch.tensor(exact), rtol=1e-4)


def test_denoiser_takes_any_size_and_a_noise_level_for_each_pixel():
    denoiser = make_denoiser()
    x = torch.randn(2, 1, 17, 23)
    even = denoiser(x, torch.full((2, 1, 1, 1), 0.3))
    spread = denoiser(x, torch.full((2, 1, 17, 23), 0.3))
    assert even.mean.shape == even.log_variance.shape == x.shape
    assert torch.allclose(even.mean, spread.mean, atol=1e-5)


def test_a_checkerboard_hides_every_pixel_once():
    for cell in (1, 3, 8):
        first, second = (checkerboard(17, 23, cell, phase=phase) for phase in (0, 1))
        assert (first ^ second).all()
        assert first[0, 0, :cell, :cell].all()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_masked_noise_is_that_of_cells(seed):
    generator = torch.Generator().manual_seed(seed)
    maps = draw_masked_sigma(4, 32, 40, cells=(4, 8), sigmas=(1.0, 4.0), generator=generator)
    assert maps.shape == (4, 1, 32, 40)
    for board in maps:
        low, high = board.unique().tolist()
        assert low == pytest.approx(OPEN_SIGMA)
        assert 1 <= high <= 4
        assert 0.3 < float((board == high).float().mean()) < 0.7


def test_hidden_cells_are_part_of_the_loss_and_leave_the_rest_alone():
    """The first crops keep their noise levels, the same at every pixel."""
    denoiser = make_denoiser()
    clean = torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    position = pixel_grid(16, 16).expand(8, -1, -1, -1)
    seen = []
    forward = type(denoiser).forward

    def spy(self, noisy, sigma, **conditions):
        seen.append(sigma)
        return forward(self, noisy, sigma, **conditions)

    for count in (0, 3):
        objective = Objective(denoiser, variance_weight=0.2, max_jump=0.2, masked_count=count)
        with patch.object(type(denoiser), "forward", spy):
            losses = objective(clean, position, None, torch.Generator().manual_seed(0), 1.0, 2)
        assert torch.isfinite(losses.total)
    plain, masked = seen[0], seen[2]
    assert masked.shape == (8, 1, 16, 16)
    assert torch.equal(masked[:5, :, 0, 0], plain[:5, :, 0, 0])
    assert all(len(board.unique()) == 2 for board in masked[5:])
    assert all(len(board.unique()) == 1 for board in masked[:5])


def test_untrained_network_has_dsm_loss_one():
    denoiser = ConsistentDenoiser(size=SMALL, centre=(0.0,), sigma_data=0.5)
    objective = Objective(denoiser, variance_weight=0.2, max_jump=0.2)
    generator = torch.Generator().manual_seed(0)
    clean = 0.5 * torch.randn(64, 1, 16, 16, generator=generator)
    position = pixel_grid(16, 16).expand(64, -1, -1, -1)
    losses = objective(clean, position, None, generator)
    assert float(losses.dsm.detach()) == pytest.approx(1, rel=0.03)


def test_dropout_masks_are_shared_by_value():
    denoiser = make_denoiser(dropout=0.5)
    masks = denoiser.network.draw_dropout(2, torch.Generator().manual_seed(0))
    x, sigma = torch.randn(2, 1, 16, 16), torch.full((2, 1, 1, 1), 0.3)
    first, second = (denoiser(x, sigma, dropout=masks).mean for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.allclose(first, denoiser(x, sigma).mean)
    assert make_denoiser().network.draw_dropout(2, torch.Generator()) is None


def test_variance_likelihood_is_lowest_at_the_mean_square():
    error = torch.randn(100_000, generator=torch.Generator().manual_seed(0)) * 0.3
    guesses = torch.linspace(-4, 0, 401)
    losses = torch.stack([gaussian_nll(error, guess).mean() for guess in guesses])
    best = float(guesses[losses.argmin()])
    assert best == pytest.approx(math.log(float(error.square().mean())), abs=0.01)


def test_noise_levels_follow_their_law():
    generator = torch.Generator().manual_seed(0)
    sigma = draw_sigma(100_000, 0.5, generator).flatten()
    assert float(sigma.log().mean()) == pytest.approx(-1.2, abs=0.01)
    assert float(sigma.log().std()) == pytest.approx(1.2, abs=0.01)
    assert float(sigma.min()) >= SIGMA_MIN
    assert float(sigma.max()) <= SIGMA_MAX
    assert float(training_sigma(torch.tensor(0.5), 0.5)) == pytest.approx(math.exp(-1.2), rel=1e-5)


def test_karras_levels_fall_to_zero():
    sigmas = karras_sigmas(8, sigma_max=1.0, sigma_min=0.02)
    assert len(sigmas) == 9
    assert float(sigmas[0]) == pytest.approx(1.0)
    assert float(sigmas[-2]) == pytest.approx(0.02)
    assert float(sigmas[-1]) == 0.0
    assert (sigmas.diff() < 0).all()

"""Tiles that cover, weights that sum to one, answers without a seam."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings, strategies as st

from cdm_inspect.model.diffusion import ConsistentDenoiser, NetworkSize, TiledDenoiser, tiles

MULTIPLES = st.integers(1, 40).map(lambda n: 8 * n)


@settings(deadline=None)
@given(height=MULTIPLES, width=MULTIPLES, tile=st.integers(2, 8).map(lambda n: 16 * n))
def test_weights_of_all_tiles_sum_to_one(height, width, tile):
    total = torch.zeros(height, width)
    for rows, columns, weight in tiles(height, width, tile):
        assert weight.shape == (rows.stop - rows.start, columns.stop - columns.start)
        assert max(weight.shape) <= tile
        total[rows, columns] += weight
    assert torch.allclose(total, torch.ones(height, width), atol=1e-6)


def test_a_weight_is_least_where_a_tile_ends_inside_the_image():
    rows, columns, weight = list(tiles(256, 256, 64))[1]
    assert (rows, columns) == (slice(0, 64), slice(32, 96))
    assert float(weight[:, 0].max()) < 0.01
    assert float(weight[0, 32]) == pytest.approx(1, abs=0.01)  # at the border nobody else looks


@pytest.fixture(scope="module")
def denoiser():
    torch.manual_seed(0)
    size = NetworkSize(width=8, multipliers=(1, 2, 2), blocks=1)
    model = ConsistentDenoiser(size=size, centre=(0.1,), sigma_data=0.5, restores_cells=True)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval().requires_grad_(False)


class PixelNetwork(torch.nn.Module):
    """A network that looks at each pixel alone: tiles cannot change what it says."""

    def __init__(self, network):
        super().__init__()
        self.stride, self.network = network.stride, network

    def forward(self, scaled, noise, position, labels=None, dropout=None):
        from cdm_inspect.model.diffusion.network import NetworkOutput

        value = torch.sin(3 * scaled) + position.sum(dim=1, keepdim=True) + noise
        return NetworkOutput(value, value.cos())

    def activations(self, scaled, noise, position, labels=None, dropout=None):
        fine = torch.cat([scaled, position, noise.expand_as(scaled)], dim=1)
        return [torch.nn.functional.avg_pool2d(fine, by) for by in (4, 2, 1)]


class EdgeShy(PixelNetwork):
    """A network that says something else near the edges of what it is shown, the left above all."""

    def forward(self, scaled, noise, position, labels=None, dropout=None):
        from cdm_inspect.model.diffusion.network import NetworkOutput

        width = scaled.shape[-1]
        ramp = torch.linspace(1, 0, width).expand_as(scaled)
        return NetworkOutput(ramp, ramp)


@pytest.mark.parametrize("size", [(96, 40), (104, 72), (64, 64), (200, 32)])
def test_tiles_do_not_change_what_a_pixel_says_of_itself(denoiser, size):
    denoiser = deepcopy(denoiser)
    denoiser.network = PixelNetwork(denoiser.network)
    images = torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(0))
    for sigma in (torch.full((2, 1, 1, 1), 0.3), 0.1 + torch.rand(2, 1, *size)):
        whole = denoiser(images, sigma)
        tiled = TiledDenoiser(denoiser, 32)(images, sigma)
        for ours, theirs in zip(tiled, whole, strict=True):
            assert torch.allclose(ours, theirs, atol=1e-5)
        pairs = zip(
            TiledDenoiser(denoiser, 32).features(images, sigma),
            denoiser.features(images, sigma),
            strict=True,
        )
        for ours, theirs in pairs:
            assert torch.allclose(ours, theirs, atol=1e-5)


def test_no_seam_shows(denoiser):
    """Where tiles meet the answer is as smooth as elsewhere; tiles laid side by side show edges."""
    denoiser = deepcopy(denoiser)
    denoiser.network = EdgeShy(denoiser.network)
    images, sigma = torch.zeros(1, 1, 128, 128), torch.full((1, 1, 1, 1), 0.5)
    blended = TiledDenoiser(denoiser, 32)(images, sigma).displacement
    beside = torch.cat(
        [denoiser(images[..., at : at + 32], sigma).displacement for at in range(0, 128, 32)], -1
    )
    inner = slice(32, 96)  # at the border of the image there is only one tile
    blended_step, beside_step = (
        float(found[0, 0, 64].diff()[inner].abs().max()) for found in (blended, beside)
    )
    assert beside_step > 0.1
    assert blended_step < 0.15 * beside_step


def test_an_image_no_larger_than_a_tile_passes_as_it_is(denoiser):
    images, sigma = torch.randn(1, 1, 32, 24), torch.full((1, 1, 1, 1), 0.2)
    with torch.inference_mode():
        for ours, theirs in zip(
            TiledDenoiser(denoiser, 32)(images, sigma), denoiser(images, sigma), strict=True
        ):
            assert torch.equal(ours, theirs)


def test_tiles_are_as_the_network_can_halve(denoiser):
    with pytest.raises(ValueError, match="multiple of 8"):
        TiledDenoiser(denoiser, 36)


def test_the_network_never_sees_more_than_a_tile(denoiser, monkeypatch):
    seen = []
    forward = type(denoiser).forward

    def watched(self, noisy, sigma, **rest):
        seen.append(tuple(noisy.shape[-2:]))
        return forward(self, noisy, sigma, **rest)

    monkeypatch.setattr(type(denoiser), "forward", watched)
    with torch.inference_mode():
        TiledDenoiser(denoiser, 32)(torch.zeros(1, 1, 128, 160), torch.full((1, 1, 1, 1), 0.2))
    assert set(seen) == {(32, 32)}

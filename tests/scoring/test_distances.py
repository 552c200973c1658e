"""Distances between a part and its restoration."""

import pytest
import torch

from cdm_inspect.builtin import cdm_inspect_scorers
from cdm_inspect.errors import ConfigError
from cdm_inspect.model.diffusion import ConsistentDenoiser, NetworkSize
from cdm_inspect.scoring.distances import DISTANCES, backbone_distance, feature_distance, gradient
from cdm_inspect.scoring.options import ReconstructionOptions

OFFER = next(offer for offer in cdm_inspect_scorers() if offer.name == "reconstruction")


@pytest.fixture(scope="module")
def denoiser():
    torch.manual_seed(0)
    size = NetworkSize(width=8, multipliers=(1, 2), blocks=1)
    model = ConsistentDenoiser(size=size, centre=(0.0,), sigma_data=0.5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A real network of timm with weights that nobody has trained."""
    import safetensors.torch
    import timm

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    state = timm.create_model("resnet10t", pretrained=False).state_dict()
    safetensors.torch.save_file(state, folder / "resnet10t.safetensors")
    return folder / "resnet10t.safetensors"


@pytest.fixture
def images():
    return torch.rand(3, 1, 64, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(params=[*DISTANCES, "features", "backbone"])
def distance(request, denoiser, weights):
    if request.param == "features":
        return feature_distance(denoiser)
    if request.param == "backbone":
        return backbone_distance("resnet10t", weights)
    return DISTANCES[request.param]


def test_a_distance_is_zero_from_oneself_and_lies_where_the_difference_is(distance, images):
    assert torch.allclose(distance(images, images), torch.zeros(3, 64, 48), atol=1e-5)
    other = images.clone()
    other[1, :, 8:24, 8:24] *= -0.5
    found = distance(images, other)
    assert found.shape == (3, 64, 48)
    assert float(found.min()) >= 0
    assert torch.allclose(found[[0, 2]], torch.zeros(2, 64, 48), atol=1e-5)
    assert float(found[1, 8:24, 8:24].mean()) > 3 * float(found[1, 40:, 32:].mean())
    alone = distance(images[1:2], other[1:2])
    assert torch.allclose(alone[0], found[1], atol=1e-5)


def test_known_values():
    part, restored = torch.zeros(1, 2, 8, 8), torch.full((1, 2, 8, 8), 0.5)
    assert float(DISTANCES["l1"](part, restored).mean()) == 0.5
    assert float(DISTANCES["l2"](part, restored).mean()) == 0.25
    assert float(gradient(part, restored).max()) == 0  # blind to brightness
    slope = 0.1 * torch.arange(8.0).expand(1, 2, 8, 8)
    assert torch.allclose(gradient(part, slope), torch.full((1, 8, 8), 0.01))


def test_structure_is_compared_at_every_scale_that_shows_it():
    """A board of single pixels turned over: unlike at full size, grey at half and quarter."""
    board = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2).float()[None, None] * 2 - 1
    assert float(DISTANCES["ssim"](board, -board).mean()) == pytest.approx(1 / 3, abs=0.01)


def test_reconstruction_takes_several_distances(denoiser, images):
    names = ("l1", "gradient", "ssim", "features")
    options = ReconstructionOptions(starts=(0.3, 0.6), steps=2, distances=names, blur=3)
    scorer = OFFER.build(denoiser, options)
    evidence = scorer.observe(images, seeds=[0, 1, 2])
    assert evidence.shape == (3, scorer.depth, 64, 48) == (3, 8, 64, 48)
    scorer.fit(evidence)
    assert torch.isfinite(scorer.score(images, seeds=[0, 1, 2]).scores).all()


@pytest.mark.parametrize("fields", [{"distances": ["backbone"]}, {"backbone": "resnet10t"}])
def test_a_backbone_is_named_where_it_is_used(fields):
    with pytest.raises(ValueError, match="backbone"):
        ReconstructionOptions(**fields)


def test_weights_come_from_a_file_and_are_never_fetched(weights, tmp_path):
    with pytest.raises(ConfigError, match="found no file"):
        backbone_distance("resnet10t", tmp_path / "nowhere.safetensors")
    with pytest.raises(ConfigError, match="no-such-network"):
        backbone_distance("no-such-network", weights)
    with pytest.raises(ConfigError, match="resnet18"):
        backbone_distance("resnet18", weights)
    for name, content in (("weights.pth", b"x"), ("weights.safetensors", b"no weights")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match=name):
            backbone_distance("resnet10t", tmp_path / name)

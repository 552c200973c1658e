"""What every built-in scorer promises, and the statistics behind them."""

from itertools import pairwise

import numpy as np
import pytest
import safetensors.numpy
import torch

from cdm_inspect.builtin import cdm_inspect_scorers
from cdm_inspect.errors import CheckpointMismatch, NotCalibrated, PluginFailed
from cdm_inspect.inspection.inspector import find_regions
from cdm_inspect.model.diffusion import (
    ConsistentDenoiser,
    NetworkSize,
    TiledDenoiser,
    checkerboard,
)
from cdm_inspect.plugins import (
    DamagedParts,
    FittedScorer,
    Posterior,
    ScoreBatch,
    TunedScorer,
)
from cdm_inspect.scoring.density import EvidenceDensity, NeighbourDensity
from cdm_inspect.scoring.fused import choose_weights
from cdm_inspect.scoring.level_scorer import noise_bank
from cdm_inspect.scoring.line_scorer import LineScorer, check_scores, image_seed
from cdm_inspect.scoring.pixel_statistics import PixelStatistics, box_blur
from cdm_inspect.scoring.pooling import Pooling, choose_pooling, region_at, won_pairs
from cdm_inspect.scoring.shared_evaluations import SharedEvaluations

OFFERS = {offer.name: offer for offer in cdm_inspect_scorers()}


@pytest.fixture(scope="module")
def denoiser():
    torch.manual_seed(0)
    size = NetworkSize(width=8, multipliers=(1, 2), blocks=1)
    model = ConsistentDenoiser(size=size, centre=(0.0,), sigma_data=0.5, restores_cells=True)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def images():
    return torch.rand(12, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def sharp(offer):
    """Options for images as small as these."""
    if offer.name == "fused":
        members = {
            name: {"blur": 3, "top": 0.01}
            for name in ("residual", "score_norm", "bias", "inpainting")
        }
        return offer.options(**members)
    return offer.options(blur=3, top=0.01)


@pytest.fixture(params=sorted(OFFERS))
def scorer(request, denoiser, images):
    offer = OFFERS[request.param]
    built = offer.build(denoiser, sharp(offer))
    assert isinstance(built, FittedScorer)
    with pytest.raises(NotCalibrated):
        built.score(images[:1], seeds=[0])
    built.fit(built.observe(images, seeds=range(12)))
    return built


def test_a_score_depends_on_the_part_alone(scorer, images):
    seeds = list(range(20, 26))
    together = scorer.score(images[:6], seeds=seeds)
    for order in ([5, 0, 3], [2]):
        some = scorer.score(images[order], seeds=[seeds[i] for i in order])
        assert torch.allclose(some.scores, together.scores[order], atol=1e-5)
        assert torch.allclose(some.maps, together.maps[order], atol=1e-4)
    again = scorer.score(images[:6], seeds=seeds)
    assert torch.equal(again.scores, together.scores)
    assert torch.equal(again.maps, together.maps)


def test_judging_is_pooling_what_was_combined(scorer, images):
    assert isinstance(scorer, TunedScorer)
    evidence = scorer.observe(images[:3], seeds=range(3))
    once, twice = scorer.judge(evidence), scorer.pool(scorer.combine(evidence))
    assert torch.equal(once.scores, twice.scores)
    assert torch.equal(once.maps, twice.maps)


def test_colour_is_judged_like_grey():
    torch.manual_seed(0)
    size = NetworkSize(width=8, multipliers=(1, 2), blocks=1)
    denoiser = ConsistentDenoiser(
        size=size, centre=(0.0, 0.1, 0.2), sigma_data=0.5, restores_cells=True
    ).eval()
    images = torch.rand(6, 3, 32, 24) * 2 - 1
    for offer in OFFERS.values():
        scorer = offer.build(TiledDenoiser(denoiser, 16), sharp(offer))
        evidence = scorer.observe(images, seeds=range(6))
        members = getattr(scorer, "members", {"": scorer})
        assert evidence.shape[1] == sum(member.depth for member in members.values())
        scorer.fit(evidence)
        batch = scorer.score(images, seeds=range(6))
        check_scores(batch, count=6, size=(32, 24))


def test_what_was_fitted_can_be_restored(scorer, images, denoiser, request):
    offer = OFFERS[request.node.callspec.params["scorer"]]
    for member in getattr(scorer, "members", {"": scorer}).values():
        member.pooling = Pooling(smooth=5, top=0.03)
    if offer.name == "fused":
        scorer.weights = torch.tensor([0.1, 0.2, 0.3, 0.4])
    other = offer.build(denoiser, sharp(offer))
    contiguous = {name: np.ascontiguousarray(value) for name, value in scorer.state().items()}
    other.restore(safetensors.numpy.load(safetensors.numpy.save(contiguous)))
    ours, theirs = (s.score(images[:2], seeds=[1, 2]) for s in (scorer, other))
    assert torch.allclose(ours.maps, theirs.maps)
    assert torch.allclose(ours.scores, theirs.scores)
    assert other.describe() == scorer.describe()


def test_a_growing_defect_never_looks_better(scorer, images):
    scores = []
    for strength in (0.0, 0.5, 1.0, 2.0):
        part = images[:1].clone()
        part[:, :, 8:16, 8:16] += strength
        scores.append(float(scorer.score(part, seeds=[7]).scores))
    assert scores[-1] > scores[0]
    # What lies elsewhere moves a little with the whole image; the order must not.
    assert all(after > before - 1e-3 for before, after in pairwise(scores))


def test_a_heat_map_points_at_the_defect(denoiser, images):
    offer = OFFERS["residual"]
    scorer = offer.build(denoiser, offer.options(blur=3))
    scorer.fit(scorer.observe(images, seeds=range(12)))
    part = images[:1].clone()
    part[:, :, 20:26, 4:10] += 1.5
    heatmap = scorer.score(part, seeds=[0]).maps[0]
    row, column = divmod(int(heatmap.argmax()), 32)
    assert 19 <= row <= 26
    assert 3 <= column <= 10


def test_draws_of_a_pair_cancel_for_a_linear_denoiser():
    """With K antithetic draws the signed mean of x - D has no noise in it."""

    class Linear:
        channels, sigma_data, restores_cells, resolutions = 1, 0.5, False, 1

        def __init__(self):
            self.seen = []

        def __call__(self, noisy, sigma):
            self.seen.append(noisy)
            mean = noisy * 0.25 / (0.25 + sigma**2)
            return Posterior(mean, mean - noisy, torch.zeros_like(mean))

    offer, denoiser = OFFERS["residual"], Linear()
    scorer = offer.build(denoiser, offer.options(sigmas=(0.3,), draws=2))
    image = torch.zeros(1, 1, 8, 8)
    scorer.energy(image)
    assert torch.allclose(denoiser.seen[0] + denoiser.seen[1], 2 * image, atol=1e-6)
    assert not torch.allclose(denoiser.seen[0], image)


def test_statistics_shrink_towards_the_whole_map():
    evidence = torch.randn(40, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    evidence[:, :, :, 4:] += 3
    close, far = (PixelStatistics(prior=p, smooth_mean=1, smooth_variance=1) for p in (1e-6, 1e9))
    close.fit(evidence)
    far.fit(evidence)
    z = close.standardise(evidence)
    assert float(z.mean()) == pytest.approx(0, abs=1e-4)
    assert float(z.std()) == pytest.approx(1, abs=0.05)
    assert float(far.standardise(evidence)[:, :, :, 4:].mean()) > 0.5


def test_whether_parts_are_registered_is_measured():
    """Position explains half of the variance by construction, or none."""
    random = torch.Generator().manual_seed(0)
    own = torch.randn(40, 1, 32, 32, generator=random)
    place = torch.randn(1, 1, 32, 32, generator=random)
    registered, loose = (
        PixelStatistics(prior=1e-3, smooth_mean=1, smooth_variance=1) for _ in range(2)
    )
    registered.fit(own + place)
    loose.fit(own)
    # Half, less what forty parts tell wrongly of each place: one fortieth of the other half.
    assert registered.explained == pytest.approx(0.5 - 0.5 / 39, abs=0.02)
    assert registered.describe()["layout"] == "aligned"
    assert loose.explained == pytest.approx(-1 / 39, abs=0.01)
    assert loose.describe()["layout"] == "unaligned"
    assert loose.state()["mean"].shape == (1, 1, 1, 1)


def test_one_part_says_nothing_of_places():
    alone = PixelStatistics(prior=10, smooth_mean=1, smooth_variance=1)
    for seed in range(100):
        random = torch.Generator().manual_seed(seed)
        alone.fit(torch.randn(1, 2, 8, 8, generator=random))
        assert not alone.is_aligned


def test_a_dead_channel_says_nothing_of_places():
    evidence = torch.randn(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    evidence[:, 1:] = 0.5
    statistics = PixelStatistics(prior=1e-3, smooth_mean=1, smooth_variance=1)
    statistics.fit(evidence)
    assert not statistics.is_aligned
    evidence[:, 1:] += 0.01  # one step of a camera is no sensation
    assert float(statistics.standardise(evidence).abs().max()) < 6


def test_a_blur_stays_inside_the_region():
    maps = torch.full((1, 1, 9, 9), 2.0)
    maps[..., 5:] = 1e6
    region = torch.zeros(9, 9, dtype=torch.bool)
    region[:, :5] = True
    assert torch.allclose(box_blur(maps, 5, region)[..., :5], torch.tensor(2.0))


@pytest.mark.parametrize("density", ["gaussian", "neighbours"])
def test_densities_are_low_far_from_what_they_learnt(density):
    random = torch.Generator().manual_seed(0)
    vectors = torch.randn(3000, 4, generator=random) @ torch.diag(torch.tensor([1, 1, 1, 0.2]))
    found = (
        NeighbourDensity(memory=400)
        if density == "neighbours"
        else EvidenceDensity(components=1, ridge=0.0)
    )
    with pytest.raises(NotCalibrated):
        found.distance(vectors)
    found.fit(vectors)
    usual = found.distance(vectors)
    far = found.distance(torch.tensor([[8.0, 0, 0, 0]]))
    across = found.distance(torch.tensor([[0, 0, 0, 2.0]]))
    assert float(far) > float(usual.max())
    assert float(across) > float(usual.quantile(0.95))
    if density == "gaussian":
        assert float(usual.square().mean()) == pytest.approx(1, abs=0.05)
    assert torch.allclose(found.distance(vectors[5:6]), usual[5:6], atol=1e-5)


def test_a_mixture_knows_two_kinds_of_good_and_what_lies_between():
    random = torch.Generator().manual_seed(0)
    vectors = torch.randn(4000, 2, generator=random) * 0.3
    vectors[::2] += 3
    one, two = (EvidenceDensity(components=n, ridge=0.0) for n in (1, 2))
    between = torch.tensor([[1.5, 1.5]])
    for density in (one, two):
        density.fit(vectors)
    assert float(two.distance(between)) > 3
    assert float(one.distance(between)) < 1
    few = EvidenceDensity(components=8, ridge=0.0)
    few.fit(vectors[:60])
    assert len(few.state()["weights"]) == 1


def test_identical_vectors_and_lonely_ones_keep_distances_finite():
    for vectors in (torch.ones(50, 3), torch.ones(1, 3)):
        density = NeighbourDensity(memory=10)
        density.fit(vectors)
        assert float(density.distance(torch.full((1, 3), 2.0))) == pytest.approx(3**0.5)


def test_statistics_of_the_whole_map_heed_the_region():
    evidence = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    evidence[..., 4:] += 100
    region = torch.zeros(8, 8, dtype=torch.bool)
    region[:, :4] = True
    statistics = PixelStatistics(prior=1e9, smooth_mean=1, smooth_variance=1)
    statistics.fit(evidence, region)
    assert float(statistics.standardise(evidence)[..., :4].std()) == pytest.approx(1, abs=0.1)


def test_pooling_is_chosen_by_what_finds_the_defects():
    random = torch.Generator().manual_seed(0)
    good, sharp, wide = (torch.randn(60, 32, 32, generator=random) for _ in range(3))
    sharp[:, 3, 3] += 6  # one bright pixel
    wide[:, 8:24, 8:24] += 0.4  # a quarter of the map, faint
    for damaged, is_fine in ((sharp, True), (wide, False)):
        default = Pooling(smooth=1, top=0.001 if not is_fine else 0.1)
        chosen = choose_pooling(good, damaged, default=default.top, area=None)
        before, after = (
            float(won_pairs(pooling(good).scores, pooling(damaged).scores).mean())
            for pooling in (default, chosen)
        )
        assert after > before + 0.05
        assert (chosen.smooth == 1) is is_fine
    assert choose_pooling(good, good, default=0.07, area=None) == Pooling(smooth=1, top=0.07)


def test_the_mean_of_won_pairs_is_the_area_under_the_curve():
    good, damaged = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0])
    assert won_pairs(good, damaged).tolist() == [[1.0, 0.5], [1.0, 1.0]]


def test_a_gain_that_may_be_chance_changes_no_pooling():
    """Damaged parts without damage: among twenty-four candidates some always look better."""
    random = torch.Generator().manual_seed(0)
    default = Pooling(smooth=1, top=0.001)
    changed = 0
    for _ in range(40):
        good, damaged = (torch.randn(40, 16, 16, generator=random) for _ in range(2))
        changed += choose_pooling(good, damaged, default=0.001, area=None) != default
    assert changed <= 4


def test_a_region_at_another_size_never_vanishes():
    region = torch.zeros(32, 32, dtype=torch.bool)
    region[:16] = True
    assert torch.equal(region_at(region, 4), region[::4, ::4])
    region[:] = False
    region[5, 5] = True
    assert region_at(region, 4).nonzero().tolist() == [[1, 1]]


def test_nothing_outside_the_region_reaches_score_or_map(denoiser, images):
    region = np.zeros((32, 32), bool)
    region[:, :16] = True

    class Stranger:
        """Knows nothing of regions."""

        def score(self, images, *, seeds):
            noise = noise_bank(images)
            return ScoreBatch((images + noise).amax(dim=(1, 2, 3)), (images + noise)[:, 0])

    built = [offer.build(denoiser, sharp(offer)) for offer in OFFERS.values()]
    for scorer in (*built, Stranger()):
        line = LineScorer(
            scorer,
            options={},
            model_id="m",
            device=torch.device("cpu"),
            region=region,
            level=[0.1],
        )
        if line.fitted is not None:
            line.fitted.fit(torch.cat([line.observe(image) for image in images.numpy()]))
        part = images[:1].numpy().copy()
        before = line.score(part)
        part[..., 16:] = 0.9
        after = line.score(part)
        assert torch.equal(before.scores, after.scores)
        assert torch.equal(before.maps, after.maps)
        inside = torch.from_numpy(region)
        if after.restored is not None:
            assert torch.equal(before.restored, after.restored)
            assert torch.all(after.restored[..., ~inside] == np.float32(0.1))
            assert float(after.restored[..., inside].std()) > 0
        assert float(after.maps[0, ~inside].max()) <= float(after.maps[0, inside].min())
        part[..., 8:12, 4:8] += 2.0
        assert float(line.score(part).scores) > float(after.scores)


def test_blur_keeps_flat_maps_and_pooling_takes_the_highest():
    flat = torch.full((1, 1, 9, 9), 2.0)
    assert torch.allclose(box_blur(flat, 5), flat)
    maps = torch.arange(100.0).view(1, 10, 10)
    assert float(Pooling(smooth=1, top=0.02)(maps).scores) == 98.5
    assert float(Pooling(smooth=1, top=1e-6)(maps).scores) == 99.0


def test_seeds_follow_model_and_content():
    image = np.zeros((1, 8, 8), np.float32)
    assert image_seed("m", image) == image_seed("m", image.copy())
    assert image_seed("m", image) != image_seed("n", image)
    image[0, 0, 0] = 1e-6
    assert image_seed("m", image) != image_seed("m", np.zeros((1, 8, 8), np.float32))


def test_results_of_a_scorer_are_checked():
    good = ScoreBatch(torch.zeros(1), torch.zeros(1, 4, 4))
    assert check_scores(good, count=1, size=(4, 4)).restored is None
    for channels in (1, 3):
        restored = torch.zeros(1, channels, 4, 4, dtype=torch.float64)
        found = check_scores(good._replace(restored=restored), count=1, size=(4, 4)).restored
        assert (found.shape, found.dtype) == (restored.shape, torch.float32)
    for bad in (
        good._replace(scores=torch.zeros(2)),
        good._replace(maps=torch.zeros(1, 4, 5)),
        good._replace(scores=torch.tensor([float("nan")])),
        good._replace(maps=torch.full((1, 4, 4), float("inf"))),
        good._replace(restored=torch.zeros(1, 4, 4)),
        good._replace(restored=torch.zeros(1, 2, 4, 4)),
        good._replace(restored=torch.zeros(1, 3, 4, 5)),
        good._replace(restored=torch.full((1, 1, 4, 4), float("nan"))),
    ):
        with pytest.raises(PluginFailed):
            check_scores(bad, count=1, size=(4, 4))


def test_regions_are_in_pixels_of_the_original():
    heatmap = np.zeros((10, 20), np.float32)
    heatmap[2:4, 3:6] = 5
    heatmap[8, 19] = 9
    strongest, other = find_regions(heatmap, 4.0, (100, 200))
    assert (strongest.peak, strongest.x, strongest.y) == (9, 190, 80)
    assert (other.x, other.y, other.width, other.height, other.area) == (30, 20, 30, 20, 600)
    assert find_regions(heatmap, 10.0, (100, 200)) == ()


def test_inpainting_needs_a_model_that_restores_cells(denoiser):
    offer = OFFERS["inpainting"]
    denoiser.restores_cells = False
    try:
        with pytest.raises(CheckpointMismatch, match="masked_share"):
            offer.build(denoiser, offer.options())
    finally:
        denoiser.restores_cells = True


def test_inpainting_sees_only_what_the_surroundings_do_not_say(denoiser, images):
    """Each pixel's evidence, and what is restored there, comes from the phase that hides it."""
    offer = OFFERS["inpainting"]
    scorer = offer.build(denoiser, offer.options(cells=(4,)))
    calls = []

    class Recording:
        channels, sigma_data, restores_cells, resolutions = 1, 0.5, True, 2

        def __call__(self, noisy, sigma):
            calls.append(sigma)
            flat = torch.full_like(noisy, float(len(calls)))
            return Posterior(flat, flat - sigma * scorer_noise, torch.zeros_like(noisy))

    parts = images[:2]
    scorer_noise = noise_bank(parts)
    scorer.denoiser = SharedEvaluations(Recording())
    with scorer.denoiser.looking(parts):
        found, restored = scorer.energy(parts)[:, 0], scorer.restored(parts)[:, 0]
    first = checkerboard(32, 32, 4, phase=0)[0, 0]
    assert torch.allclose(found[:, first], torch.tensor(1.0), atol=1e-4)
    assert torch.allclose(found[:, ~first], torch.tensor(4.0), atol=1e-4)
    assert all(float(sigma.max()) == 2 for sigma in calls)
    assert torch.equal(restored, torch.where(first, 1.0, 2.0).expand(2, -1, -1))
    assert len(calls) == 2


RESTORING = {"bias", "fused", "inpainting", "reconstruction", "residual", "score-norm"}


@pytest.mark.parametrize("name", sorted(OFFERS))
def test_a_restoration_costs_no_evaluation_and_changes_no_score(name, denoiser, images):
    offer, calls = OFFERS[name], []

    class Counting(TiledDenoiser):
        def __call__(self, noisy, sigma):
            calls.append(float(sigma.amax()))
            return super().__call__(noisy, sigma)

    scorer = offer.build(Counting(denoiser, 64), sharp(offer))
    evidence = scorer.observe(images, seeds=range(12))
    scorer.fit(evidence)
    asked, calls[:] = list(calls), []
    batch = scorer.score(images, seeds=range(12))
    assert calls == asked
    without = scorer.judge(evidence)
    assert torch.equal(batch.scores, without.scores)
    assert torch.equal(batch.maps, without.maps)
    assert without.restored is None
    if name in RESTORING:
        assert batch.restored.shape == images.shape
        assert not torch.equal(batch.restored, images)
        alone = scorer.score(images[3:4], seeds=[3]).restored
        assert torch.allclose(alone, batch.restored[3:4], atol=1e-4)
    else:
        assert batch.restored is None


def test_what_is_restored_is_the_part_at_a_level_that_hides_defects(denoiser, images):
    levels = {"fused": 0.5, "score-norm": 0.5, "bias": 0.5}
    for name, sigma in levels.items():
        scorer = OFFERS[name].build(denoiser, sharp(OFFERS[name]))
        scorer.fit(scorer.observe(images, seeds=range(12)))
        expected = denoiser(images, torch.full((12, 1, 1, 1), sigma)).mean
        assert torch.equal(scorer.score(images, seeds=range(12)).restored, expected)
    # With noise it is the mean over draws.
    scorer = OFFERS["residual"].build(denoiser, sharp(OFFERS["residual"]))
    scorer.fit(scorer.observe(images, seeds=range(12)))
    noise, sigma = 0.4 * noise_bank(images), torch.full((12, 1, 1, 1), 0.4)
    draws = [denoiser(images + sign * noise, sigma).mean for sign in (1, -1)]
    found = scorer.score(images, seeds=range(12)).restored
    assert torch.allclose(found, (draws[0] + draws[1]) / 2, atol=1e-6)


def test_answers_are_forgotten_after_the_look(denoiser, images):
    shared = SharedEvaluations.of(denoiser)
    assert SharedEvaluations.of(shared) is shared
    with shared.looking(images):
        with shared.looking(images):
            first = shared.at(images, 0.5)
        assert shared.at(images, 0.5) is first
        assert shared.at(images[:1], 0.5) is not first
    again = shared.at(images, 0.5)
    assert again is not first
    assert torch.equal(again.mean, first.mean)


def test_fused_weighs_each_member_alike(denoiser, images):
    """Scores are means of the members' own, each in deviations of those of good parts."""
    offer = OFFERS["fused"]
    scorer = offer.build(denoiser, sharp(offer))
    evidence = scorer.observe(images, seeds=range(12))
    assert evidence.shape[1] == sum(member.depth for member in scorer.members.values())
    scorer.fit(evidence)
    layers, batch = scorer.combine(evidence), scorer.judge(evidence)
    pooled = torch.stack(
        [member.pool(layers[:, k]).scores for k, member in enumerate(scorer.members.values())]
    )
    centre = pooled.mean(1, keepdim=True)
    spread = (((pooled - centre).square().sum(1, keepdim=True) + 1) / 13).sqrt()
    assert torch.allclose(batch.scores, ((pooled - centre) / spread).mean(dim=0), atol=1e-4)
    # The map is a mean as well, and its highest pixel says what the score says.
    mean = ((layers - centre.view(1, 4, 1, 1)) / spread.view(1, 4, 1, 1)).mean(dim=1, keepdim=True)
    assert torch.allclose(batch.maps.amax(dim=(1, 2)), batch.scores, atol=1e-4)
    shift = batch.maps - sum(box_blur(mean, side)[:, 0] for side in (1, 9, 27)) / 3
    assert torch.allclose(shift, shift[:, :1, :1].expand_as(shift), atol=1e-4)


def test_scores_of_fused_stay_on_the_scale_they_were_tuned_on(denoiser, images):
    """The last fit, on all parts, must not move what the held-out scores stand on."""
    offer = OFFERS["fused"]
    scorer = offer.build(denoiser, sharp(offer))
    evidence = scorer.observe(images, seeds=range(12))
    scorer.fit(evidence[:8])
    layers = scorer.combine(evidence)
    damaged = DamagedParts(layers[:4] + 1, torch.ones(4, 32, 32, dtype=torch.bool))
    scorer.tune(layers, damaged)
    before = scorer.pool(layers).scores
    scorer.fit(evidence)
    assert torch.equal(scorer.pool(layers).scores, before)
    again = offer.build(denoiser, sharp(offer))
    again.restore(scorer.state())
    assert torch.equal(again.pool(layers).scores, before)


def test_members_of_fused_share_what_they_ask_of_the_part_itself(denoiser, images):
    offer, calls = OFFERS["fused"], []

    class Counting(TiledDenoiser):
        def __call__(self, noisy, sigma):
            calls.append(float(sigma.amax()))
            return super().__call__(noisy, sigma)

    sigmas = (0.12, 0.25)
    options = offer.options(
        residual={"sigmas": sigmas, "draws": 0, "blur": 3},
        score_norm={"sigmas": sigmas, "blur": 3},
        bias={"sigmas": sigmas},
        inpainting={"cells": [4], "blur": 3},
    )
    scorer = offer.build(Counting(denoiser, 64), options)
    evidence = scorer.observe(images[:2], seeds=[1, 2])
    assert calls == pytest.approx([0.12, 0.25, 2, 2])  # hidden cells are nobody else's
    alone = torch.cat(
        [
            member.observe(images[:2], seeds=[1, 2])
            for member in offer.build(denoiser, options).members.values()
        ],
        dim=1,
    )
    assert torch.equal(evidence, alone)
    # What was said of some images is not taken for an answer about others.
    other = scorer.observe(images[2:4], seeds=[1, 2])
    assert not torch.allclose(other[:, :2], evidence[:, :2])


def test_votes_go_to_members_that_see_the_damage():
    random = torch.Generator().manual_seed(0)
    good, damaged, blind = (torch.randn(60, 3, generator=random) for _ in range(3))
    damaged[:, 1] += 2
    weights = choose_weights(good, damaged)
    assert float(weights.sum()) == pytest.approx(1)
    assert float(weights[1]) > 0.5
    assert float(weights.min()) > 0  # nobody loses the vote
    assert torch.allclose(choose_weights(good, blind), torch.full((3,), 1 / 3))


class Grain:
    """Says of every pixel that it should have been 0, and that it knows so to 0.1."""

    channels, sigma_data, restores_cells, resolutions = 1, 0.1, False, 1

    def __call__(self, noisy, sigma):
        certain = torch.full_like(noisy, 2 * float(np.log(0.1)))
        return Posterior(mean=torch.zeros_like(noisy), displacement=-noisy, log_variance=certain)


def test_bias_sees_a_faint_stain_that_squares_do_not():
    random = torch.Generator().manual_seed(0)
    parts = 0.1 * torch.randn(30, 1, 64, 64, generator=random)
    stained = 0.1 * torch.randn(1, 1, 64, 64, generator=random)
    stained[..., 20:44, 20:44] += 0.06
    z = {}
    for name in ("bias", "residual"):
        offer = OFFERS[name]
        given = {"sigmas": (0.2,), "layout": 0} if name == "residual" else {"sigmas": (0.2,)}
        scorer = offer.build(Grain(), offer.options(**given))
        scorer.fit(scorer.observe(parts, seeds=range(30)))
        good = scorer.score(parts, seeds=range(30)).scores
        found = scorer.score(stained, seeds=[40])
        z[name] = float((found.scores[0] - good.mean()) / good.std())
        if name == "bias":
            y, x = divmod(int(found.maps[0].argmax()), 64)
            assert 20 <= y < 44
            assert 20 <= x < 44
    assert z["bias"] > 8
    assert z["residual"] < 4


def test_score_norms_of_whole_images(denoiser, images):
    """An image whose contrast is odd everywhere is odd as a whole, wherever its pixels are."""
    offer = OFFERS["score-norm"]
    options = offer.options(blur=3, top=0.01, scope="image", sigmas=(0.1, 0.4))
    scorer = offer.build(denoiser, options)
    evidence = scorer.observe(images, seeds=range(12))
    scorer.fit(evidence)
    layers = scorer.combine(evidence)
    assert layers.shape == (12, 2, 32, 32)
    good = scorer.pool(layers)
    dull = scorer.score(0.2 * images[:2], seeds=[1, 2])
    assert float(dull.scores.min()) > float(good.scores.max())
    again = offer.build(denoiser, options)
    again.restore(scorer.state())
    assert torch.equal(again.judge(evidence).scores, good.scores)
    pixels = offer.build(denoiser, options.model_copy(update={"scope": "pixel"}))
    pixels.fit(evidence)
    shift = good.maps - pixels.combine(evidence)
    assert torch.allclose(shift, shift[:, :1, :1].expand_as(shift), atol=1e-5)
    assert torch.allclose(good.maps.amax(dim=(1, 2)), good.scores, atol=1e-5)


@pytest.mark.parametrize("side", [3, 9, 27])
def test_box_blur_is_the_mean_over_the_box(side):
    maps = torch.rand(2, 3, 20, 31, generator=torch.Generator().manual_seed(0))
    direct = torch.nn.functional.avg_pool2d(
        maps, side, stride=1, padding=side // 2, count_include_pad=False
    )
    assert torch.allclose(box_blur(maps, side), direct, atol=1e-6)

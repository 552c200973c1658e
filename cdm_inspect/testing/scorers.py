"""The kit for scorers.

The parts are a Gaussian random field, and the denoiser is the one that is exact for it, so that a
scorer meets a perfect model of its line within seconds.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, cached_property, lru_cache
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from cdm_inspect.images import damage
from cdm_inspect.model.diffusion import PRESETS, ConsistentDenoiser
from cdm_inspect.plugins import Denoiser, Posterior, Scorer, ScorerOffer, TrainedScorer
from cdm_inspect.plugins.offers import check_offer
from cdm_inspect.records import FloatArray, no_progress
from cdm_inspect.scoring.fitting import fit_scorer
from cdm_inspect.scoring.line_scorer import LineScorer

SIDE = 32
"""Pixels along each side of the parts."""

_SCALE = 4.0
_SPREAD = 0.2
_CENTRE = -0.1
_MODEL = "conformance"


class FieldDenoiser:
    """The exact denoiser of a stationary Gaussian random field on 32 x 32 pixels.

    D(y, s) = m + C (C + diag(s^2))^-1 (y - m), for one noise level and for one a pixel alike.
    """

    channels = 1
    sigma_data = _SPREAD
    restores_cells = True
    resolutions = 2

    @cached_property
    def covariance(self) -> Tensor:
        """(1024, 1024) float64: squared exponential of the distance, and a little pixel noise."""
        line = torch.arange(SIDE, dtype=torch.float64)
        y, x = torch.meshgrid(line, line, indexing="ij")
        place = torch.stack([y.flatten(), x.flatten()], dim=1)
        smooth = torch.exp(-(torch.cdist(place, place) ** 2) / (2 * _SCALE**2))
        return _SPREAD**2 * (0.98 * smooth + 0.02 * torch.eye(SIDE**2, dtype=torch.float64))

    @cached_property
    def _modes(self) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(self.covariance)
        return values, vectors

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Posterior:
        """See `contracts.Denoiser`."""
        means, variances = [], []
        for image, level in zip(noisy, sigma.expand(len(noisy), *sigma.shape[1:]), strict=True):
            mean, variance = self._restore(image.double().flatten() - _CENTRE, level.double())
            means.append((mean + _CENTRE).reshape(image.shape))
            variances.append(variance.reshape(image.shape))
        mean = torch.stack(means)
        return Posterior(
            mean=mean.float(),
            displacement=(mean - noisy.double()).float(),
            log_variance=torch.stack(variances).clamp(min=1e-12).log().float(),
        )

    def _restore(self, deviation: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        if level.numel() == 1:
            values, vectors = self._modes
            gain = values / (values + level.flatten() ** 2)
            mean = vectors @ (gain * (vectors.T @ deviation))
            return mean, (vectors**2) @ (gain * level.flatten() ** 2)
        gain, variance = self._gain_of(level.numpy().tobytes())
        return gain @ deviation, variance

    @lru_cache(maxsize=48)  # noqa: B019 - there is one denoiser, for as long as the tests run
    def _gain_of(self, level: bytes) -> tuple[Tensor, Tensor]:
        """The gain for a noise level a pixel, and the variance that is left."""
        noise = torch.from_numpy(np.frombuffer(level).copy()) ** 2
        gain = torch.linalg.solve(self.covariance + torch.diag(noise), self.covariance).T
        return gain, gain.diagonal() * noise

    def features(self, noisy: Tensor, sigma: Tensor) -> Sequence[Tensor]:
        """See `contracts.Denoiser`: the restored image and what was taken off, at two sizes."""
        restored = self(noisy, sigma)
        fine = torch.cat([restored.mean, restored.displacement], dim=1)
        return torch.nn.functional.avg_pool2d(fine, 2), fine


@cache
def field_denoiser() -> FieldDenoiser:
    """One for all tests: its matrices take a second."""
    return FieldDenoiser()


@cache
def good_parts(count: int, seed: int) -> FloatArray:
    """Parts of the field: (count, 1, 32, 32) float32 in [-1, 1]."""
    random = np.random.default_rng(seed)
    root = np.linalg.cholesky(field_denoiser().covariance.numpy())
    drawn = _CENTRE + random.normal(size=(count, SIDE**2)) @ root.T
    return np.clip(drawn, -1, 1).reshape(count, 1, SIDE, SIDE).astype(np.float32)


def fitted_scorer(
    offer: ScorerOffer, options: Mapping[str, Any], region: FloatArray | None = None
) -> LineScorer:
    """A scorer as a line uses it, fitted on good parts if it is of the kind that learns."""
    scorer = build_scorer(offer, options, region)
    fit_scorer(scorer, good_parts(24, 0), trained_on=good_parts(24, 3), tick=no_progress)
    return scorer


def build_scorer(
    offer: ScorerOffer,
    options: Mapping[str, Any],
    region: FloatArray | None = None,
    denoiser: Denoiser | None = None,
) -> LineScorer:
    """A scorer as a line uses it, not fitted yet; None means the exact denoiser."""
    resolved = offer.options(**options)
    return LineScorer(
        offer.build(denoiser or field_denoiser(), resolved),
        options=resolved.model_dump(mode="json"),
        model_id=_MODEL,
        device=torch.device("cpu"),
        region=None if region is None else region.astype(bool),
        level=(_CENTRE,),
    )


class _Traced(torch.nn.Module):
    """A fitted scorer as an exporter sees it."""

    def __init__(self, scorer: Scorer, network: torch.nn.Module) -> None:
        super().__init__()
        self.network, self._scorer = network, scorer

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        batch = self._scorer.score(images, seeds=())
        return batch.scores, batch.maps


@cache
def small_network() -> ConsistentDenoiser:
    """A real network, with the weights of a seed: what is exported is traced through it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ConsistentDenoiser(
            size=PRESETS["tiny"], centre=(_CENTRE,), sigma_data=_SPREAD, restores_cells=True
        )
    return network.eval().requires_grad_(False)


def _scores_elsewhere(
    offer: ScorerOffer, options: dict[str, Any], parts: FloatArray, threads: int
) -> FloatArray:
    """In a process of its own: the scorer is built, fitted and used there."""
    torch.set_num_threads(threads)
    found: FloatArray = fitted_scorer(offer, options).score(parts).scores.numpy()
    return found


class ScorerConformance:
    """Tests of a scorer; inherit from it and name the offer.

    Attributes:
        offer: under test; what it names must be importable, as it is once the plugin is installed.
        options: set, as in the project file, for parts as small as 32 x 32.
        tolerance: of scores that should be the same, relative to their spread over good parts.
        is_monotone: False for a scorer that does not claim to see a bright spot.
    """

    offer: ClassVar[ScorerOffer]
    options: ClassVar[dict[str, Any]] = {}
    tolerance: ClassVar[float] = 1e-3
    is_monotone: ClassVar[bool] = True

    @pytest.fixture(scope="class")
    @classmethod
    def scorer(cls) -> LineScorer:
        """Fitted on 24 good parts."""
        return fitted_scorer(cls.offer, cls.options)

    @pytest.fixture(scope="class")
    @classmethod
    def fresh(cls) -> FloatArray:
        """Good parts that it has not seen."""
        return good_parts(10, 1)

    def _same(self, found: Tensor, expected: Tensor, spread: Tensor) -> bool:
        limit = self.tolerance * max(float(spread.std()), 1e-6)
        return float((found - expected).abs().max()) <= limit

    def test_the_offer_is_one_that_the_host_accepts(self) -> None:
        """Name, summary, options, contract, and a builder of two arguments."""
        assert check_offer(self.offer, ScorerOffer) == ""

    def test_unknown_options_are_refused(self) -> None:
        """A slip in the project file must not go unnoticed."""
        with pytest.raises(ValidationError):
            self.offer.options(**{**self.options, "no_such_option_at_all": 1})

    def test_scores_and_maps_are_finite_float32(
        self, scorer: LineScorer, fresh: FloatArray
    ) -> None:
        """One score and one map a part; also of black, white and noise. So are restorations."""
        odd = np.stack([np.full((1, SIDE, SIDE), v, np.float32) for v in (-1.0, 0.0, 1.0)])
        noise = np.random.default_rng(2).uniform(-1, 1, (1, 1, SIDE, SIDE)).astype(np.float32)
        raw = scorer.scorer.score(torch.from_numpy(fresh), seeds=list(range(len(fresh))))
        assert raw.scores.dtype == raw.maps.dtype == torch.float32
        assert raw.restored is None or raw.restored.dtype == torch.float32
        for parts in (fresh, odd, noise):
            scorer.score(parts)  # refuses what has the wrong shape or is not finite

    def test_a_part_scores_alone_as_among_others(
        self, scorer: LineScorer, fresh: FloatArray
    ) -> None:
        """Whatever stands beside it, and in whatever order."""
        together = scorer.score(fresh)
        alone = torch.cat([scorer.score(part[None]).scores for part in fresh])
        assert self._same(alone, together.scores, together.scores)
        if together.restored is not None:
            parts = [scorer.score(part[None]).restored for part in fresh]
            restored = torch.cat([part for part in parts if part is not None])
            assert self._same(restored, together.restored, together.restored)
        turned = scorer.score(np.ascontiguousarray(fresh[::-1]))
        assert self._same(turned.scores.flip(0), together.scores, together.scores)

    def test_nothing_but_the_seed_is_random(self, scorer: LineScorer, fresh: FloatArray) -> None:
        """Global generators change nothing, and are left as they were; so is the input."""
        torch.manual_seed(1)
        first, kept = scorer.score(fresh).scores, fresh.copy()
        torch.manual_seed(2)
        np.random.seed(2)
        before = torch.get_rng_state()
        again = scorer.score(fresh).scores
        assert torch.equal(first, again)
        assert torch.equal(before, torch.get_rng_state())
        assert np.array_equal(fresh, kept)

    def test_another_process_says_the_same(self, scorer: LineScorer, fresh: FloatArray) -> None:
        """Built, fitted and used there; by one thread, unless it trains.

        Training makes a rounding, which the number of threads decides on, into another model.
        """
        threads = torch.get_num_threads() if isinstance(scorer.scorer, TrainedScorer) else 1
        # Unlike a pool of `multiprocessing` it says so where the process dies.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            asked = self.offer, self.options, fresh, threads
            there = pool.submit(_scores_elsewhere, *asked).result()
        here = scorer.score(fresh).scores
        assert self._same(torch.from_numpy(there), here, here)

    def test_what_was_learnt_can_be_kept_and_taken_back(
        self, scorer: LineScorer, fresh: FloatArray
    ) -> None:
        """As arrays by name; a calibration is nothing else."""
        state = scorer.state()
        for name, values in state.items():
            assert isinstance(values, np.ndarray), name
            assert np.isfinite(values).all(), name
        restored = build_scorer(self.offer, self.options)
        restored.restore(state)
        assert torch.equal(restored.score(fresh).scores, scorer.score(fresh).scores)

    def test_it_can_be_traced_where_it_says_so(self, fresh: FloatArray) -> None:
        """The graph, for any batch, says what the scorer says."""
        if not self.offer.is_traceable:
            return
        scorer = build_scorer(self.offer, self.options, denoiser=small_network())
        fit_scorer(scorer, good_parts(24, 0), trained_on=good_parts(24, 3), tick=no_progress)
        graph = _Traced(scorer.scorer, small_network()).eval()
        images = torch.from_numpy(fresh)
        sizes = ({0: torch.export.Dim("batch")},)
        with torch.no_grad():
            program = torch.export.export(graph, (images[:2],), dynamic_shapes=sizes)
            for count in (1, 3):
                scores, maps = program.module()(images[:count])
                expected = scorer.score(fresh[:count])
                assert self._same(scores, expected.scores, scorer.score(fresh).scores)
                assert self._same(maps, expected.maps, expected.maps)

    def test_a_growing_defect_scores_higher(self, scorer: LineScorer, fresh: FloatArray) -> None:
        """On average over parts, and at its strongest well above what good parts score."""
        means = []
        for contrast in (0.01, 1.5, 3.0, 6.0):
            random = np.random.default_rng(4)
            hurt = [
                damage(part, "spot", size=0.2, contrast=contrast, random=random).image
                for part in fresh
            ]
            means.append(float(scorer.score(np.stack(hurt)).scores.mean()))
        assert np.isfinite(means).all()
        if not self.is_monotone:
            return
        spread = float(scorer.score(fresh).scores.std())
        assert all(b >= a - 0.1 * spread for a, b in pairwise(means)), means
        assert means[-1] > means[0] + spread, means

    def test_what_lies_outside_the_region_changes_nothing(self, fresh: FloatArray) -> None:
        """Neither score, map nor restoration; the map is nowhere higher there than inside."""
        region = np.zeros((SIDE, SIDE), np.float32)
        region[6:26, 6:26] = 1
        scorer = fitted_scorer(self.offer, self.options, region)
        other = np.where(region.astype(bool), fresh, np.float32(0.9))
        first, second = scorer.score(fresh), scorer.score(other)
        assert torch.equal(first.scores, second.scores)
        assert torch.equal(first.maps, second.maps)
        if first.restored is not None and second.restored is not None:
            assert torch.equal(first.restored, second.restored)
        inside = torch.from_numpy(region.astype(bool))
        assert float(first.maps[:, ~inside].max()) <= float(first.maps[:, inside].max())
        assert math.isfinite(float(first.scores.sum()))

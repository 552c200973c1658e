"""The built-in scorers pass the kit that is given to authors of plugins, and bad ones do not."""

import functools
from typing import ClassVar

import numpy as np
import pytest
import torch

from cdm_inspect.builtin import cdm_inspect_exporters, cdm_inspect_scorers
from cdm_inspect.errors import PluginFailed
from cdm_inspect.plugins import Options, ScoreBatch, ScorerOffer
from cdm_inspect.testing import ExporterConformance, ScorerConformance, scorers as conformance

OFFERS = {offer.name: offer for offer in cdm_inspect_scorers()}
SHARP = {"blur": 3, "top": 0.01}
# Few noise levels, as each of them is traced.
LEVELS = {"residual": [0.15, 0.4], "score-norm": [0.12, 0.5], "bias": [0.25, 1.0]}
ONE = {**SHARP, "sigmas": [0.25]}
# A look at all members takes them all.
FUSED = {"residual": ONE, "score_norm": ONE, "bias": ONE, "inpainting": SHARP}


# Of the others, what starts a process or traces a graph takes long.
QUICK = {"residual", "fused"}
SLOW_TESTS = ("test_another_process_says_the_same", "test_it_can_be_traced_where_it_says_so")


def marked_long(name):
    """A test of the kit that only `make test-all` runs."""
    inherited = getattr(ScorerConformance, name)

    @pytest.mark.long
    @functools.wraps(inherited)
    def test(self, *arguments, **facts):
        inherited(self, *arguments, **facts)

    return test


def kit_of(name):
    """A class of tests for one built-in scorer."""
    levels = {"sigmas": LEVELS[name]} if name in LEVELS else {}
    options = FUSED if name == "fused" else {**SHARP, **levels}
    facts = {"offer": OFFERS[name], "options": options, "__module__": __name__}
    if name == "martingale":
        facts["is_monotone"] = False  # a diagnostic: a bright spot does not make it drift more
    if name not in QUICK:
        facts |= {test: marked_long(test) for test in SLOW_TESTS}
    return type(f"Test{name.title().replace('-', '')}", (ScorerConformance,), facts)


globals().update({kit.__name__: kit for kit in map(kit_of, OFFERS)})
(ONNX,) = cdm_inspect_exporters()


class TestOnnx(ExporterConformance):
    offer = ONNX


class TestOnnxInHalfPrecision(ExporterConformance):
    offer = ONNX
    options: ClassVar = {"precision": "fp16"}


class TestOnnxInEightBits(ExporterConformance):
    offer = ONNX
    options: ClassVar = {"precision": "int8"}


def test_the_denoiser_of_the_kit_is_exact():
    """Its error on noised parts is what it says it is, for one noise level and for a map."""
    denoise, parts = conformance.field_denoiser(), torch.from_numpy(conformance.good_parts(40, 5))
    noise = torch.randn(parts.shape, generator=torch.Generator().manual_seed(0))
    cells = torch.zeros(1, 1, 32, 32) + 0.05
    cells[..., 8:16, 8:16] = 5.0
    for sigma in (torch.full((1, 1, 1, 1), 0.1), torch.full((1, 1, 1, 1), 0.8), cells):
        found = denoise(parts + sigma * noise, sigma)
        z2 = ((parts - found.mean) ** 2 / found.log_variance.exp()).mean()
        assert z2 == pytest.approx(1.0, abs=0.06)
        assert torch.allclose(found.displacement, found.mean - parts - sigma * noise, atol=1e-5)


class Bad:
    """A scorer with one fault each; the sum of squares otherwise."""

    def __init__(self, fault):
        self.fault = fault

    def score(self, images, *, seeds):
        maps = (images + 0.1).square().mean(dim=1)
        if self.fault == "batch":
            maps = maps - maps.mean(dim=0)
        if self.fault == "random":
            maps = maps + torch.rand(maps.shape)
        if self.fault == "downhill":
            maps = -maps
        if self.fault == "changes its input":
            images.mul_(0.5)
        scores = maps.amax(dim=(1, 2))
        if self.fault == "nan":
            scores = scores * np.nan
        if self.fault == "shape":
            maps = maps[:, :-1]
        return ScoreBatch(scores=scores, maps=maps.double() if self.fault == "double" else maps)


FAULTS = {
    "batch": "test_a_part_scores_alone_as_among_others",
    "random": "test_nothing_but_the_seed_is_random",
    "changes its input": "test_nothing_but_the_seed_is_random",
    "downhill": "test_a_growing_defect_scores_higher",
    "nan": "test_scores_and_maps_are_finite_float32",
    "shape": "test_scores_and_maps_are_finite_float32",
    "double": "test_scores_and_maps_are_finite_float32",
}


def run_kit(fault, test):
    """One test of the kit on a scorer with a fault."""
    offer = ScorerOffer(
        contract=1,
        name="bad",
        summary="Bad.",
        build=lambda denoiser, options: Bad(fault),
        options=Options,
    )
    kit = type("Kit", (ScorerConformance,), {"offer": offer})()
    scorer = conformance.build_scorer(offer, {})
    getattr(kit, test)(scorer=scorer, fresh=conformance.good_parts(10, 1).copy())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_the_test_that_is_there_for_it(fault):
    with pytest.raises((AssertionError, PluginFailed)):
        run_kit(fault, FAULTS[fault])


def test_all_built_in_scorers_can_be_exported():
    assert {name for name, offer in OFFERS.items() if offer.is_traceable} == set(OFFERS)


@pytest.mark.parametrize("test", sorted(set(FAULTS.values())))
def test_a_sound_scorer_passes(test):
    run_kit("none", test)


class Untraceable:
    """Looks at numbers while it scores; says that it does not."""

    def score(self, images, *, seeds):
        maps = images.square().mean(dim=1)
        return ScoreBatch(scores=maps.amax(dim=(1, 2)) + float(maps.max()), maps=maps)


def test_a_scorer_that_cannot_be_traced_is_found_out():
    offer = ScorerOffer(
        contract=1,
        name="untraceable",
        summary="s",
        build=lambda denoiser, options: Untraceable(),
        is_traceable=True,
    )
    kit = type("Kit", (ScorerConformance,), {"offer": offer})()
    with pytest.raises(Exception, match=r"(?i)data-dependent"):
        kit.test_it_can_be_traced_where_it_says_so(fresh=conformance.good_parts(10, 1))

"""Models of anomalib as scorers: the kit of the host, with random backbones."""

import pytest
from cdm_inspect_anomalib import OFFERS, AnomalibOptions

from cdm_inspect.errors import CheckpointMismatch, ConfigError
from cdm_inspect.plugins import Registry
from cdm_inspect.testing import ScorerConformance
from cdm_inspect.testing.scorers import build_scorer, fitted_scorer


class TestPadim(ScorerConformance):
    offer = OFFERS["padim"]
    options = {"arguments": {"n_features": 20}}


class TestPatchcore(ScorerConformance):
    offer = OFFERS["patchcore"]


class TestGanomaly(ScorerConformance):
    offer = OFFERS["ganomaly"]
    options = {"epochs": 2, "arguments": {"n_features": 8, "latent_vec_size": 10}}
    is_monotone = False  # after two epochs


def test_other_starting_weights_are_refused_where_the_line_was_calibrated():
    offer = OFFERS["padim"]
    options = {"arguments": {"n_features": 20}}
    fitted = fitted_scorer(offer, options)
    build_scorer(offer, options).restore(fitted.state())
    with pytest.raises(CheckpointMismatch, match="not those that the line was calibrated with"):
        build_scorer(offer, {**options, "seed": 1}).restore(fitted.state())


def test_the_installed_plugin_is_found():
    assert set(OFFERS) <= set(Registry().scorers)


def test_mistakes_in_the_options_are_said(tmp_path):
    offer = OFFERS["anomalib"]
    for options, message in (
        ({"model": "padimm"}, "no model 'padimm'; it has .*padim"),
        ({"arguments": {"bakbone": "x"}}, "Padim takes no bakbone; it takes .*backbone"),
        ({"backbone_weights": tmp_path / "no.safetensors"}, "no.safetensors"),
    ):
        with pytest.raises(ConfigError, match=message):
            offer.build(None, AnomalibOptions(**options))

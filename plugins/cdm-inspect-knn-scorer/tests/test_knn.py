from cdm_inspect_knn import OFFER

from cdm_inspect.hooks import Registry
from cdm_inspect.hooks.conformance import ScorerConformance


class TestKnn(ScorerConformance):
    offer = OFFER


def test_the_installed_plugin_is_found():
    assert Registry().scorer("knn") == OFFER

"""What every plugin must keep, as tests that its author inherits; needs pytest.

    from cdm_inspect.testing import ScorerConformance
    from my_package.plugin import OFFER

    class TestEdges(ScorerConformance):
        offer = OFFER

Plugins are used through the same objects as in the product, and nothing is trained.
"""

import pytest

# Failures then say what was compared; pytest does that by itself in files of tests alone.
_KITS = ("exporters", "scorers", "stores", "store_people", "store_decisions", "store_concurrency")
pytest.register_assert_rewrite(*(f"cdm_inspect.testing.{kit}" for kit in _KITS))

from cdm_inspect.testing.exporters import ExporterConformance
from cdm_inspect.testing.scorers import ScorerConformance
from cdm_inspect.testing.stores import StoreConformance

__all__ = ["ExporterConformance", "ScorerConformance", "StoreConformance"]

import subprocess
import sys

from cdm_inspect_knn import OFFER

from cdm_inspect.plugins import Registry
from cdm_inspect.testing import ScorerConformance


class TestKnn(ScorerConformance):
    offer = OFFER


def test_the_kit_runs_on_the_distribution_by_its_name():
    words = [
        "-q",
        "-p",
        "cdm_inspect.testing.pytest_plugin",
        "--conformance",
        "cdm-inspect-knn-scorer",
    ]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *words], capture_output=True, text=True
    )
    assert "10 passed" in result.stdout, result.stdout
    words[-1] = "nobody"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *words], capture_output=True, text=True
    )
    assert "no installed plugin belongs to the distribution 'nobody'" in result.stderr


def test_the_installed_plugin_is_found():
    assert Registry().scorer("knn") == OFFER

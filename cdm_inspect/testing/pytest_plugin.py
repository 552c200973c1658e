"""A pytest plugin: all kits on what an installed distribution offers, without a test being written.

    pytest -p cdm_inspect.testing.pytest_plugin --conformance cdm-inspect-knn-scorer

It is not loaded by itself, so that other people's tests are none of its business.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from cdm_inspect.plugins import ExporterOffer, Registry, ScorerOffer, StoreOffer

_KITS = {
    "scorer": ("ScorerConformance", ScorerOffer),
    "exporter": ("ExporterConformance", ExporterOffer),
    "store": ("StoreConformance", StoreOffer),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that names a distribution."""
    parser.addoption(
        "--conformance",
        metavar="DISTRIBUTION",
        action="append",
        default=[],
        help="run the kits of cdm-inspect on what it offers",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Write the tests that an author would write, and have them run instead of any others."""
    named: list[str] = config.getoption("--conformance")
    if not named:
        return
    folder = Path(tempfile.mkdtemp(prefix="cdm-inspect-conformance-"))
    config.args[:] = [str(_write_tests(distribution, folder)) for distribution in named]


def _write_tests(distribution: str, folder: Path) -> Path:
    rows = [row for row in Registry().rows if row.distribution == distribution]
    if not rows:
        raise pytest.UsageError(f"no installed plugin belongs to the distribution {distribution!r}")
    for row in rows:
        if row.status != "loaded":
            raise pytest.UsageError(f"{distribution}: {row.status}: {row.reason}")
    offers = [offer.split(" ", 1) for row in rows for offer in row.offers]
    kits = [(*_KITS[kind], name) for kind, name in offers if kind in _KITS]
    if not kits:
        raise pytest.UsageError(f"{distribution} offers nothing that there is a kit for")
    names = {"Registry"} | {kind.__name__ for _, kind, _ in kits}
    lines = [
        "from cdm_inspect.plugins import " + ", ".join(sorted(names - {"Registry"})),
        "from cdm_inspect.plugins import Registry",
        "from cdm_inspect.testing import " + ", ".join(sorted({k for k, _, _ in kits})),
    ]
    for kit, kind, name in kits:
        title = name.title().replace("-", "")
        lines += [
            f"class Test{title}({kit}):",
            f"    offer = Registry().named({kind.__name__}, {name!r})",
        ]
    file = folder / f"test_{distribution.replace('-', '_')}.py"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file

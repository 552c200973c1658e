"""Which distributions may load."""

from importlib.metadata import Distribution

import pytest

from cdm_inspect.config.plugin_allow_list import parse_allowed, why_refused


@pytest.fixture
def distribution(tmp_path):
    """A distribution as pip leaves it behind."""
    info = tmp_path / "vendor_scorer-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vendor-scorer\nVersion: 1.2\n")
    return Distribution.at(info)


def test_name_and_version_count(distribution):
    for allowed in (
        ["vendor-scorer"],
        ["Vendor_Scorer"],
        ["vendor-scorer>=1,<2"],
        ["vendor-scorer==9", "vendor-scorer==1.2"],
    ):
        assert why_refused(distribution, allowed) == "", allowed
    for allowed, why in (
        ([], "not in plugins.allow"),
        (["other"], "not in plugins.allow"),
        (["vendor-scorer==1.3"], "wants version ==1.3, found 1.2"),
    ):
        assert why in why_refused(distribution, allowed)
    assert "no distribution" in why_refused(None, ["vendor-scorer"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "two words",
        "x --hash=sha256:" + "0" * 64,
        "x @ https://a/b.whl",
        "x; python_version<'3'",
        "x[y]",
    ],
)
def test_what_is_no_entry_is_refused(text):
    with pytest.raises(ValueError, match=r"expected (a distribution|name and version)"):
        parse_allowed(text)

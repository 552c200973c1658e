"""Which distributions may load."""

import importlib
import json
from importlib.metadata import Distribution

import pytest

from cdm_inspect.config.plugin_allow_list import Allowed, digest_of, why_refused


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A distribution as pip leaves it behind, with a script and bytecode."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(content="x = 1\n", name="vendor-scorer", editable=False):
        (tmp_path / "vendor.py").write_text(content)
        info = tmp_path / "vendor_scorer-1.2.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "RECORD").write_text(
            "vendor.py,,\nvendor_scorer-1.2.dist-info/METADATA,,\n"
            "vendor_scorer-1.2.dist-info/RECORD,,\nvendor_scorer-1.2.dist-info/INSTALLER,,\n"
            "__pycache__/vendor.cpython-311.pyc,,\n../../bin/vendor,,\n"
        )
        (info / "direct_url.json").write_text(
            json.dumps({"url": "file:///x", "dir_info": {"editable": editable}})
        )
        return Distribution.at(info)

    return make


def test_the_digest_is_of_what_the_wheel_has_put_there(installed, tmp_path):
    first = digest_of(installed())
    (tmp_path / "vendor_scorer-1.2.dist-info" / "INSTALLER").write_text("pip\n")
    assert digest_of(installed()) == first
    assert digest_of(installed(content="x = 2\n")) != first
    with pytest.raises(ValueError, match="editable"):
        digest_of(installed(editable=True))
    distribution = installed()
    (tmp_path / "vendor.py").unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        digest_of(distribution)


def test_name_version_and_hash_all_count(installed):
    distribution = installed()
    right = digest_of(distribution)
    for allowed in (
        ["vendor-scorer"],
        ["Vendor_Scorer"],
        ["vendor-scorer>=1,<2"],
        [f"vendor-scorer==1.2 --hash=sha256:{right}"],
        ["vendor-scorer==9", "vendor-scorer==1.2"],
    ):
        assert why_refused(distribution, "vendor", allowed) == "", allowed
    wrong = f"{int(right, 16) ^ 1:064x}"
    for allowed, why in (
        ([], "not in plugins.allow"),
        (["other"], "not in plugins.allow"),
        (["vendor-scorer==1.3"], "wants version ==1.3, found 1.2"),
        ([f"vendor-scorer --hash=sha256:{wrong}"], f"found {right}"),
    ):
        assert why in why_refused(distribution, "vendor", allowed)
    assert "no distribution" in why_refused(None, "vendor", ["vendor-scorer"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "two words",
        "x --hash=sha256:12",
        "x --hash=md5:" + "0" * 64,
        "x @ https://a/b.whl",
        "x; python_version<'3'",
        "x[y]",
    ],
)
def test_what_is_no_entry_is_refused(text):
    with pytest.raises(ValueError, match=r"expected (a distribution|name, version)"):
        Allowed.parse(text)


def test_a_namesake_that_would_be_loaded_instead_is_refused(installed, tmp_path, monkeypatch):
    distribution = installed()
    allowed = [f"vendor-scorer --hash=sha256:{digest_of(distribution)}"]
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / "vendor.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path / "earlier")
    assert "none of its files" in why_refused(distribution, "vendor", allowed)
    (tmp_path / "earlier" / "vendor.py").unlink()
    importlib.invalidate_caches()
    assert why_refused(distribution, "vendor", allowed) == ""
    (tmp_path / "vendor").mkdir()  # a package goes before a module of its name
    (tmp_path / "vendor" / "__init__.py").write_text("x = 1\n")
    importlib.invalidate_caches()
    assert "none of its files" in why_refused(distribution, "vendor.deep", allowed)

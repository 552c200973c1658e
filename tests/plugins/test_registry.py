"""The registry against specimens: sound, broken and hostile plugins, each installed for real."""

import logging
import re
import sys
from importlib.metadata import Distribution, EntryPoint, entry_points

import pytest
from pydantic import ValidationError

from cdm_inspect.builtin import cdm_inspect_scorers
from cdm_inspect.config import PluginsConfig
from cdm_inspect.errors import ConfigError, PluginConflict, PluginFailed, PluginUnavailable
from cdm_inspect.plugins import (
    CommandOffer,
    ExporterOffer,
    PageOffer,
    ReaderOffer,
    Registry,
    SinkOffer,
    StoreOffer,
    registry as registry_module,
)
from cdm_inspect.plugins.offers import PluginProblem
from cdm_inspect.project import open_project
from cdm_inspect.records import TrainingTick

HEAD = """
from cdm_inspect.plugins import ScorerOffer
from cdm_inspect.plugins import hookimpl
def build(denoiser, options): return None
"""
SOUND = (
    HEAD
    + """
@hookimpl
def cdm_inspect_scorers():
    yield ScorerOffer(contract=1, name="{name}", summary="A specimen.", build=build)
"""
)
SPECIMENS = {
    "missing-import": ("import a_module_that_is_not_there", "import failed"),
    "exits": ("raise SystemExit(3)", "import failed: SystemExit"),
    "wrong-signature": (
        HEAD + "@hookimpl\ndef cdm_inspect_scorers(nonsense): return []",
        "wrong hook",
    ),
    "unknown-hook": (HEAD + "@hookimpl\ndef cdm_inspect_nonsense(): return []", "wrong hook"),
    "raises": (HEAD + "@hookimpl\ndef cdm_inspect_scorers(): raise ValueError('no')", "raised"),
    "not-an-offer": (HEAD + "@hookimpl\ndef cdm_inspect_scorers(): return ['x']", "found str"),
    "bad-name": (SOUND.format(name="Not Kebab"), "kebab-case"),
    "bad-arity": (
        HEAD + "@hookimpl\ndef cdm_inspect_scorers():\n"
        "    yield ScorerOffer(contract=1, name='x', summary='s', build=lambda a: a)",
        "must take 2",
    ),
    "other-contract": (
        HEAD + "@hookimpl\ndef cdm_inspect_scorers():\n"
        "    yield ScorerOffer(name='x', summary='s', build=build, contract=99)",
        "contract 99",
    ),
}


def test_built_in_scorers_come_through_the_entry_point():
    registry = Registry()
    assert {"residual", "score-norm", "reconstruction"} <= set(registry.scorers)
    assert "sql" in registry.usable(StoreOffer)
    assert "table" in registry.usable(ReaderOffer)
    (row,) = (row for row in registry.rows if row.name == "builtin")
    assert (row.distribution, row.status) == ("cdm-inspect", "loaded")


def test_bad_plugins_stop_nobody_and_are_named(install, caplog, monkeypatch):
    """Fourteen in one run; `-o log_cli=true --log-cli-level=INFO` shows what each gave."""
    monkeypatch.setattr(registry_module, "_SLOW_SECONDS", 0.05)
    for name, (source, _) in SPECIMENS.items():
        install(name, source)
    install("good-one", SOUND.format(name="good-scorer"))
    install("slow", "import time\ntime.sleep(0.1)\n" + SOUND.format(name="slow-scorer"))
    for name, claimed in (("first", "twice"), ("second", "twice"), ("thief", "residual")):
        install(name, SOUND.format(name=claimed))
    with caplog.at_level(logging.WARNING):
        registry = Registry()
    rows = {row.name: row for row in registry.rows}
    warned = list(caplog.messages)
    with caplog.at_level(logging.INFO):
        for row in registry.rows:
            offers = len(row.offers)
            logging.info("%s: %s, %d offers. %s", row.name, row.status, offers, row.reason)
    assert "slow-scorer" in registry.scorers
    for name in ("first", "second", "thief"):
        assert rows[name].status == "refused", name
        assert "is also offered by" in rows[name].reason
        assert rows[name].troubles == [PluginProblem.NAME_TAKEN]
    for name, (_, reason) in SPECIMENS.items():
        assert rows[name].status == "refused", name
        assert reason in rows[name].reason, (name, rows[name].reason)
        assert len(rows[name].troubles) == 1, name
        assert sum(f"plugin {name} " in message for message in warned) == 1
    assert registry.scorer("good-scorer").summary == "A specimen."
    assert rows["good-one"].offers == ["scorer good-scorer"]
    assert "residual" in registry.scorers


def test_clashing_strangers_are_both_refused_and_built_ins_stand(install):
    install("first", SOUND.format(name="twice"))
    install("second", SOUND.format(name="twice"))
    install("thief", SOUND.format(name="residual"))
    registry = Registry()
    with pytest.raises(PluginConflict, match=r"first .*second"):
        registry.scorer("twice")
    assert "twice" not in registry.scorers
    assert registry.scorer("residual").summary != "A specimen."
    chosen = Registry(PluginsConfig(replaces={"twice": "second", "residual": "thief"}))
    assert chosen.scorer("twice").name == "twice"
    assert chosen.scorer("residual").summary == "A specimen."


def test_who_may_load(install, monkeypatch):
    install("one", SOUND.format(name="one-scorer"))
    install("two", SOUND.format(name="two-scorer"))
    for entry in ("one", "One >= 0.9", "one==1.0"):
        allowed = Registry(PluginsConfig(allow=(entry,)))
        assert "one-scorer" in allowed.scorers
        assert "two-scorer" not in allowed.scorers
        assert "residual" in allowed.scorers
    other = Registry(PluginsConfig(allow=("one==2.0",)))
    reasons = {row.name: row.reason for row in other.rows if row.status == "not allowed"}
    assert "wants version ==2.0, found 1.0" in reasons["one"]
    assert "two" in reasons
    # What hashes promised is pip's to check, at installation.
    for entry in ("one two", "two --hash=sha256:" + "0" * 64):
        with pytest.raises(ValidationError, match="expected a distribution"):
            PluginsConfig(allow=(entry,))
    monkeypatch.setenv("CDM_INSPECT_DISABLE_PLUGINS", "1")
    none = Registry()
    assert set(none.scorers) == {offer.name for offer in cdm_inspect_scorers()}
    with pytest.raises(PluginUnavailable, match="required"):
        Registry(PluginsConfig(required=("one",)))


def test_a_scorer_that_is_not_there_names_what_is(install):
    install("missing-import", SPECIMENS["missing-import"][0])
    with pytest.raises(PluginUnavailable) as caught:
        Registry().scorer("nonsense")
    assert "residual" in str(caught.value)
    assert "a_module_that_is_not_there" in str(caught.value)


def test_observers_are_told_and_cannot_stop_the_line(install):
    install(
        "observer",
        HEAD
        + """
        seen = []
        @hookimpl
        def cdm_inspect_training_ticked(line, tick): seen.append((line, tick.step))
    """.replace("\n        ", "\n"),
    )
    install(
        "breaks",
        HEAD
        + """
        @hookimpl
        def cdm_inspect_training_ticked(line): raise RuntimeError("observer")
    """.replace("\n        ", "\n"),
    )
    registry = Registry()
    tick = TrainingTick(
        step=3,
        images_seen=1,
        seconds=1.0,
        progress=0.1,
        images_per_second=1.0,
        loss_dsm=1.0,
        loss_consistency=0.0,
        loss_held_out=1.0,
        seconds_left=1.0,
    )
    registry.notify("cdm_inspect_training_ticked", line="A", tick=tick)
    assert sys.modules["specimen_observer"].seen == [("A", 3)]


def test_a_store_is_told_what_it_asks_for(install, tmp_path):
    (tmp_path / "cdm-inspect.toml").write_text(
        "[store]\nbackend = 'jsonl'\n[store.options]\ncolour = 'red'\n"
    )
    install(
        "jsonl",
        """
        from cdm_inspect.plugins import Options, StoreOffer
        from cdm_inspect.plugins import hookimpl
        class JsonlOptions(Options):
            images: str
            colour: str = "blue"
        def open_jsonl(options, root): return options, root
        @hookimpl
        def cdm_inspect_stores():
            yield StoreOffer(
                contract=1,
                name="jsonl", summary="One line a part.", open=open_jsonl, options=JsonlOptions
            )
        """,
    )
    options, root = open_project(tmp_path).open_store()
    assert (options.images, options.colour) == ("images/", "red")
    assert root == tmp_path.resolve()
    (tmp_path / "cdm-inspect.toml").write_text(
        "[store]\nbackend = 'jsonl'\n[store.options]\ncolor = 'red'\n"
    )
    with pytest.raises(ConfigError, match=r"store\.options\.color"):
        open_project(tmp_path).open_store()


def test_line_files_come_from_plugins_before_the_built_in_one(install, tmp_path):
    root = tmp_path / "project"
    (root / "lines").mkdir(parents=True)
    (root / "lines" / "A.toml").write_text("")
    assert Registry().line_file("A", root) == root / "lines" / "A.toml"
    assert Registry().line_file("B", root) is None
    (root / "recipe.toml").write_text("")
    install(
        "recipes",
        HEAD + "@hookimpl\ndef cdm_inspect_line_file(line, root):\n"
        "    return root / ('recipe.toml' if line == 'A' else '../outside.toml')",
    )
    registry = Registry()
    assert registry.line_file("A", root) == root / "recipe.toml"
    with pytest.raises(PluginFailed, match="inside"):
        registry.line_file("C", root)


def test_entry_points_are_sorted_by_distribution():
    names = [row.distribution for row in Registry().rows]
    assert names == sorted(names)
    assert all(isinstance(p, EntryPoint) for p in entry_points(group="cdm_inspect"))
    assert Distribution.from_name("cdm-inspect").name == "cdm-inspect"


OFFERS = {
    "cdm_inspect_exporters": (
        ExporterOffer,
        "ExporterOffer(contract=1, name='x', summary='s', build=f1)",
    ),
    "cdm_inspect_sinks": (SinkOffer, "SinkOffer(contract=1, name='x', summary='s', open=f2)"),
    "cdm_inspect_pages": (PageOffer, "PageOffer(contract=1, name='x', summary='s', show=f1)"),
    "cdm_inspect_commands": (
        CommandOffer,
        "CommandOffer(contract=1, name='x', summary='s', build=f0)",
    ),
    "cdm_inspect_readers": (ReaderOffer, "ReaderOffer(contract=1, name='x', summary='s', read=f2)"),
}


@pytest.mark.parametrize("hook", OFFERS)
def test_every_kind_of_offer_is_collected_and_checked(install, hook):
    kind, made = OFFERS[hook]
    source = (
        "from cdm_inspect.plugins import *\nfrom cdm_inspect.plugins import hookimpl\n"
        "def f0(): pass\ndef f1(a): pass\ndef f2(a, b): pass\ndef f5(a, b, c, d, e): pass\n"
        f"@hookimpl\ndef {hook}(): yield {{}}\n"
    )
    install("sound", source.format(made))
    install("unsound", source.format(re.sub(r"f\d", "f5", made)))
    registry = Registry()
    assert registry.named(kind, "x").summary == "s"
    rows = {row.name: row for row in registry.rows}
    assert rows["sound"].file.endswith("specimen_sound.py")
    assert rows["sound"].hooks == [hook]
    assert rows["unsound"].status == "refused"
    assert "arguments" in rows["unsound"].reason


def test_a_slow_import_is_said(install, monkeypatch):
    monkeypatch.setattr(registry_module, "_SLOW_SECONDS", 0.05)
    install("slow", "import time\ntime.sleep(0.1)\n" + SOUND.format(name="slow-scorer"))
    registry = Registry()
    (row,) = (row for row in registry.rows if row.name == "slow")
    assert row.status == "loaded"
    assert row.seconds >= 0.1
    assert "its import took" in row.reason
    assert row.troubles == [PluginProblem.SLOW]
    assert "slow-scorer" in registry.scorers


def test_a_plugin_without_metadata_is_no_bodys_trouble(install, tmp_path):
    install("nameless", SOUND.format(name="nameless-scorer"))
    (tmp_path / "site" / "nameless-1.0.dist-info" / "METADATA").unlink()
    registry = Registry()
    assert "nameless-scorer" in registry.scorers
    (row,) = (row for row in registry.rows if row.name == "nameless")
    assert row.distribution
    refused = Registry(PluginsConfig(allow=("cdm-inspect-knn-scorer",)))
    assert "nameless-scorer" not in refused.scorers


def test_a_replacement_that_is_not_there_is_said(install):
    install("other", SOUND.format(name="table"))  # the name of a reader, for a scorer
    registry = Registry(PluginsConfig(replaces={"residual": "nobody", "table": "other"}))
    with pytest.raises(PluginUnavailable, match="names 'nobody' for 'residual'"):
        registry.scorer("residual")
    assert registry.named(ReaderOffer, "table").summary.startswith("A CSV file")
    assert registry.scorer("table").summary == "A specimen."


def test_titles_of_a_page_are_checked_when_it_is_offered(install):
    source = (
        "from cdm_inspect.plugins import hookimpl\n"
        "from cdm_inspect.plugins import PageOffer\n"
        "@hookimpl\ndef cdm_inspect_pages():\n"
        "    yield PageOffer(contract=1, name='x', summary='s', show=lambda v: 0, titles={})\n"
    )
    install("untitled", source.format("{}"))
    install("wrongly", source.format("'Title'"))
    rows = {row.name: row for row in Registry().rows}
    assert rows["wrongly"].status == "refused"
    assert "titles by language" in rows["wrongly"].reason

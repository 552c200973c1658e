import pytest

from cdm_inspect.config import IdentityConfig, LineConfig, load_project
from cdm_inspect.config.units import at_most, parse_count, parse_duration
from cdm_inspect.errors import ConfigError, InvalidOption, UnknownLine


def write(root, text):
    (root / "cdm-inspect.toml").write_text(text)
    return root


def test_every_mistake_is_reported_with_its_key(tmp_path):
    write(
        tmp_path,
        """
        [store]
        ulr = "sqlite:///x.db"
        [lines.A]
        image_size = "big"
        preset = "huge"
        [lines.A.consistency]
        share = 2
    """,
    )
    with pytest.raises(ConfigError) as caught:
        load_project(tmp_path)
    text = str(caught.value)
    assert len(caught.value.problems) == 5
    for key in (
        "store.ulr: unknown key",
        "lines.A.normal: required",
        "lines.A.image_size",
        "lines.A.preset",
        "lines.A.consistency.share",
    ):
        assert key in text
    assert "found 'big'" in text
    assert "cdm-inspect.toml" in text


def test_a_mistake_is_looked_for_where_it_was_made(tmp_path):
    write(tmp_path, "[lines.A]\nnormal = 'a'\nimage_size = 64\n")
    (tmp_path / "lines").mkdir()
    own = tmp_path / "lines" / "A.toml"
    own.write_text("image_size = 3\n")
    with pytest.raises(ConfigError) as caught:
        load_project(
            tmp_path, line_files={"A": own}, line="A", overrides=["preset=huge", "store.ulr=x"]
        )
    text = str(caught.value)
    assert "lines/A.toml: lines.A.image_size" in text
    assert "--set preset=huge: lines.A.preset" in text
    assert "--set store.ulr=x: store.ulr: unknown key" in text


def test_a_count_of_images_can_be_taken_back(tmp_path):
    write(tmp_path, "[lines.A]\nnormal = 'a'\n[lines.A.training]\nimages = '2M'\n")
    config = load_project(tmp_path, line="A", overrides=["training.images=''"])
    assert config.line("A").training.images is None


def test_later_layers_win(tmp_path):
    write(tmp_path, "[lines.A]\nnormal = 'a'\nimage_size = 64\n[lines.A.training]\nseed = 1\n")
    own = tmp_path / "own.toml"
    own.write_text("image_size = 96\n[training]\nseed = 2\nbudget = '5m'\n")
    config = load_project(
        tmp_path,
        line_files={"A": own},
        line="A",
        overrides=["training.seed=3", "lines.A.scorer=score-norm", "store.images=pictures"],
    )
    assert config.line("A").image_size == 96
    assert config.line("A").training.seed == 3
    assert config.line("A").training.budget == "5m"
    assert config.line("A").scorer == "score-norm"
    assert config.store.images == "pictures"


def test_missing_broken_and_unknown(tmp_path):
    with pytest.raises(ConfigError, match="cdm-inspect init"):
        load_project(tmp_path)
    write(tmp_path, "[lines.A\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_project(tmp_path)
    write(tmp_path, "[lines.A]\nnormal = 'x'\n")
    with pytest.raises(UnknownLine, match="known lines: A"):
        load_project(tmp_path).line("B")
    with pytest.raises(InvalidOption, match="KEY=VALUE"):
        load_project(tmp_path, overrides=["nonsense"])
    write(tmp_path, "[lines.'../x']\nnormal = 'x'\n")
    with pytest.raises(ConfigError, match="letters, digits"):
        load_project(tmp_path)


def test_what_a_path_says_of_a_part(tmp_path):
    identity = IdentityConfig(serial=r"_(\d+)\.png$", lot=r"/(L\d+)/", station="press 3")
    assert identity.of("in/L7/part_0042.png") == {
        "serial": "0042",
        "lot": "L7",
        "camera": "",
        "station": "press 3",
    }
    assert identity.of("part.png")["serial"] == ""
    assert IdentityConfig(camera=r"(?:cam(\d))?").of("x.png")["camera"] == ""
    # It says nothing of the model, which stays valid.
    config = LineConfig(normal="x")
    assert config.digest == LineConfig(normal="x", identity=identity).digest
    for wrong in ("(", "no group", "(a)(b)"):
        write(tmp_path, f"[lines.A]\nnormal = 'x'\n[lines.A.identity]\nserial = '{wrong}'\n")
        with pytest.raises(ConfigError, match=r"identity\.serial: (no regular|expected one group)"):
            load_project(tmp_path)


def test_retention_is_a_duration_or_for_ever(tmp_path):
    write(tmp_path, "[store.retention]\npassed = '90d'\n")
    assert dict(load_project(tmp_path).store.retention) == {"passed": "90d", "decided": ""}
    write(tmp_path, "[store.retention]\ndecided = 'long'\n")
    with pytest.raises(ConfigError, match=r"store\.retention\.decided: expected a duration"):
        load_project(tmp_path)


def test_configuration_is_frozen_and_its_hash_follows_its_content():
    config = LineConfig(normal="x")
    with pytest.raises(ValueError, match="frozen"):
        config.normal = "y"
    assert config.digest == LineConfig(normal="x").digest
    assert config.digest != LineConfig(normal="x", image_size=64).digest


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("1.5h", 5400), ("2d", 172_800)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-5m", "0", "nan", "inf", "ten"])
def test_bad_durations(text):
    with pytest.raises(InvalidOption):
        parse_duration(text)


def test_counts():
    assert parse_count("200k") == 200_000
    assert parse_count("2M") == 2_000_000


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.005049, "0.51%"),
        (0.005, "0.50%"),
        (0.07, "7.00%"),
        (1e-9, "0.01%"),
        (0, "0.00%"),
        (1.0, "100.00%"),
    ],
)
def test_an_upper_bound_is_never_told_as_less_than_it_is(share, said):
    assert at_most(share) == said

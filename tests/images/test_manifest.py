"""Which good parts belong together, which are left out, and what is nearly the same picture."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from cdm_inspect.config import LineConfig
from cdm_inspect.errors import ConfigError, TooFewImages
from cdm_inspect.images import (
    Manifest,
    ManifestRow,
    choose_held_out,
    find_near_duplicates,
    join_groups,
    load_good_parts,
    load_manifest,
)


def pictures(count, seed=0, alike=0.0):
    """Random fields; `alike` is the share of the variance that all of them have in common."""
    random = np.random.default_rng(seed)
    coarse = random.normal(size=(count + 1, 8, 8))
    mixed = np.sqrt(alike) * coarse[-1] + np.sqrt(1 - alike) * coarse[:-1]
    fields = np.kron(mixed, np.ones((8, 8)))
    return np.clip(0.3 * fields + random.normal(scale=0.02, size=fields.shape), -1, 1)[:, None]


@pytest.fixture
def folder(tmp_path):
    """Six lots of ten parts; the parts of a lot lie side by side."""
    root = tmp_path / "good"
    root.mkdir()
    for number, picture in enumerate(pictures(60)):
        pixels = np.uint8((picture[0] + 1) * 127.5)
        Image.fromarray(pixels).save(root / f"lot{number // 10}_{number % 10}.png")
    return root


def config(**images):
    return LineConfig(normal="x", image_size=64, images=images)


def lots(origins):
    return {origin.path.name[:4] for origin in origins}


@pytest.mark.parametrize("alike", [0.0, 0.7])
def test_what_is_photographed_twice_is_found_and_what_is_alike_anyway_is_not(alike):
    parts = pictures(40, alike=alike)
    random = np.random.default_rng(1)
    again = np.clip(parts[:3] + random.normal(scale=0.01, size=parts[:3].shape), -1, 1)
    found = find_near_duplicates([*parts, *again])
    assert found == [(0, 40), (1, 41), (2, 42)]


def test_lines_whose_hashes_can_tell_nothing_apart_have_no_twins():
    """Where usual neighbours differ in a few bits, a few bits say nothing."""
    flat = [np.full((1, 64, 64), 0.1 * level, np.float32) for level in range(6)]
    for level, image in enumerate(flat):
        image[:, level, level] = 0.9
    found = find_near_duplicates(flat)
    assert len(found) < 6


def test_a_part_alone_is_like_no_other():
    assert find_near_duplicates(list(pictures(1))) == []


def test_what_hangs_together_in_a_chain_is_one_group():
    groups = ["a", "b", "c", "d", "b"]
    assert join_groups(groups, []) == groups
    assert join_groups(groups, [(0, 1), (3, 4)]) == ["a", "a", "c", "a", "a"]


def test_lots_by_file_name_are_never_split(folder):
    parts = load_good_parts(folder, config(group="^(lot[0-9])"))
    assert len(parts.held_out) == 10
    assert not lots(parts.train_origin) & lots(parts.held_out_origin)
    mixed = load_good_parts(folder, config())
    assert lots(mixed.train_origin) & lots(mixed.held_out_origin)


def test_the_manifest_names_groups_and_leaves_parts_out(folder):
    every = load_good_parts(folder, config())
    origins = [*every.train_origin, *every.held_out_origin]
    rows = [
        ManifestRow(
            file=origin.path.name,
            sha256=origin.sha256,
            group="late" if origin.path.name >= "lot3" else "early",
            decision="exclude" if origin.path.name == "lot5_9.png" else "",
        )
        for origin in origins
    ]
    parts = load_good_parts(folder, config(group="(lot[0-9])"), manifest=Manifest().updated(rows))
    assert [problem.reason for problem in parts.set_aside] == ["excluded"]
    sides = {min(lots(side)) for side in (parts.train_origin, parts.held_out_origin)}
    assert sides == {"lot0", "lot3"}
    assert len(parts.train) + len(parts.held_out) == 59


def test_an_excluded_picture_is_left_out_in_whatever_file_it_is(folder):
    first = folder / "lot0_0.png"
    with Image.open(first) as image:
        image.save(folder / "a.bmp")  # is read before it
        image.save(folder / "z.bmp")  # and after it
    sha256 = hashlib.sha256(first.read_bytes()).hexdigest()
    row = ManifestRow(file=first.name, sha256=sha256, decision="exclude")
    parts = load_good_parts(folder, config(), manifest=Manifest().updated([row]))
    assert len(parts.train) + len(parts.held_out) == 59
    assert {(p.path.name, p.reason) for p in parts.set_aside} == {
        (name, "excluded") for name in ("lot0_0.png", "a.bmp", "z.bmp")
    }


def test_one_group_alone_cannot_be_split(folder):
    with pytest.raises(TooFewImages, match="all belong together"):
        load_good_parts(folder, config(group="^(.)"))


def test_nearly_the_same_picture_is_on_one_side(folder):
    for number in range(20):
        with Image.open(folder / f"lot{number // 10}_{number % 10}.png") as image:
            pixels = np.asarray(image).astype(int)
        again = np.clip(
            pixels + np.random.default_rng(number).integers(-1, 2, pixels.shape), 0, 255
        )
        Image.fromarray(again.astype(np.uint8)).save(
            folder / f"again{number // 10}_{number % 10}.png"
        )
    parts = load_good_parts(folder, config())
    held_out = {origin.path.name for origin in parts.held_out_origin}
    assert len(parts.train) + len(held_out) == 80
    twins = [(f"lot{n // 10}_{n % 10}.png", f"again{n // 10}_{n % 10}.png") for n in range(20)]
    assert all((a in held_out) == (b in held_out) for a, b in twins)
    assert any(a in held_out for a, _ in twins)


def test_groups_too_large_to_fit_are_trained_on():
    groups = {**{f"big{i}": "big" for i in range(70)}, **{f"{i}": f"{i}" for i in range(30)}}
    for seed in range(10):
        held_out = choose_held_out(groups, 0.2, seed)
        assert len(held_out) == 20
        assert not any(name.startswith("big") for name in held_out)
    # Hardly any small group: the smallest of the large ones, rather than next to nothing.
    lots = {**{f"a{i}": "a" for i in range(100)}, **{f"b{i}": "b" for i in range(90)}, "x": "x"}
    for seed in range(5):
        held_out = choose_held_out(lots, 0.2, seed)
        assert held_out - {"x"} == {f"b{i}" for i in range(90)}
    halves = {str(i): "ab"[i % 2] for i in range(50)}
    assert len(choose_held_out(halves, 0.2, 0)) == 25


def test_a_manifest_survives_spreadsheets(tmp_path):
    path = tmp_path / "A.csv"
    rows = [
        ManifestRow(file="部品,1.png", sha256="a" * 64, group="=1+1", comment='he said "no"'),
        ManifestRow(file="b.png", sha256="b" * 64, decision="exclude"),
    ]
    manifest = Manifest().updated(rows)
    manifest.save(path)
    data = path.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    assert b"'=1+1" in data
    assert load_manifest(path) == manifest
    # Columns in another order, one more, one less, another line ending.
    path.write_text("sha256,file,who\n" + "c" * 64 + ",c.png,x\n")
    assert load_manifest(path).rows["c" * 64] == ManifestRow(file="c.png", sha256="c" * 64)
    assert load_manifest(tmp_path / "none.csv") == Manifest()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,group\na,b\n", "found no sha256"),
        ("file,sha256\na.png,123\n", "row 2: expected the SHA-256"),
        (f"file,sha256,decision\na.png,{'a' * 64},maybe\n", "row 2: .* found 'maybe'"),
        ('file,sha256,comment\na.png,b,"x\nc.png,d,\n', "no valid CSV"),
    ],
)
def test_mistakes_in_a_manifest_are_named(tmp_path, text, message):
    path = tmp_path / "A.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_manifest(path)


@pytest.mark.parametrize("pattern", ["lot", "(a)(b)", "("])
def test_a_pattern_finds_one_thing(pattern):
    with pytest.raises(ValueError, match=r"group in brackets|regular expression"):
        config(group=pattern)

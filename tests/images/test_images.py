"""What a camera, a network share or a person may put into the folder."""

import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile

from cdm_inspect.config import LineConfig
from cdm_inspect.errors import ImageError, TooFewImages, UnreadableImage
from cdm_inspect.images import (
    LabelledPart,
    Preparation,
    Shape,
    choose_held_out,
    decode_heatmap,
    encode_heatmap,
    find_images,
    find_labelled,
    load_good_parts,
    read_image,
    read_mask,
    spread_evenly,
    thin_labelled,
    to_display,
)

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), np.uint8)
RGB = RNG.integers(0, 256, (20, 30, 3), np.uint8)
DEEP = RNG.integers(0, 65536, (20, 30), np.uint16)
DEEP_RGB = RNG.integers(0, 65536, (20, 30, 3), np.uint16)


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_lossless_formats_keep_grey_and_colour(tmp_path, suffix):
    grey = read_image(save(tmp_path / f"g.{suffix}", GREY))
    assert grey.channels == 1
    assert np.array_equal(grey.pixels[:, :, 0], GREY)
    assert np.array_equal(read_image(save(tmp_path / f"c.{suffix}", RGB)).pixels, RGB)


def test_jpeg_grey_stays_one_channel(tmp_path):
    part = read_image(save(tmp_path / "g.jpg", GREY, quality=95))
    assert part.channels == 1
    assert part.media_type == "image/jpeg"
    assert read_image(save(tmp_path / "c.jpeg", RGB)).channels == 3


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_samples_are_not_cut(tmp_path, suffix):
    path = tmp_path / f"deep.{suffix}"
    cv2.imwrite(str(path), DEEP)
    grey = read_image(path)
    assert grey.pixels.dtype == np.uint16
    assert np.array_equal(grey.pixels[:, :, 0], DEEP)
    cv2.imwrite(str(path), DEEP_RGB[:, :, ::-1])
    colour = read_image(path)
    assert colour.pixels.dtype == np.uint16
    assert np.array_equal(colour.pixels, DEEP_RGB)


def test_alpha_is_dropped_and_palettes_are_resolved(tmp_path):
    rgba = np.dstack([RGB, RNG.integers(0, 256, (20, 30), np.uint8)])
    assert np.array_equal(read_image(save(tmp_path / "a.png", rgba)).pixels, RGB)
    Image.fromarray(RGB).quantize(16).save(tmp_path / "p.png")
    assert read_image(tmp_path / "p.png").channels == 3
    Image.fromarray(GREY).convert("P").save(tmp_path / "q.png")
    assert read_image(tmp_path / "q.png").channels == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("is_deep", [False, True])
def test_exif_orientation_is_applied_alike_at_both_depths(tmp_path, orientation, is_deep):
    exif = Image.Exif()
    exif[0x0112] = orientation
    shallow = save(tmp_path / "shallow.png", RGB, exif=exif)
    expected = read_image(shallow).pixels
    assert expected.shape[:2] == ((30, 20) if orientation > 4 else (20, 30))
    if is_deep:
        path = tmp_path / "deep.png"
        cv2.imwrite(str(path), (RGB.astype(np.uint16) * 257)[:, :, ::-1])
        chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
        data = path.read_bytes()
        length, crc = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
        path.write_bytes(data[:33] + length + chunk + crc + data[33:])
        assert np.array_equal(read_image(path).pixels, expected.astype(np.uint16) * 257)


def bomb(path, side):
    """A PNG whose header claims side x side pixels; the data could never hold them."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


@pytest.mark.parametrize("of_the_process", [False, True])
def test_unreadable_files_say_why(tmp_path, monkeypatch, of_the_process):
    """Also where a library has set Pillow, for the whole process, to guess what is missing."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", of_the_process)
    save(tmp_path / "good.jpg", RGB)
    save(tmp_path / "good.png", RGB)
    jpeg, png = (tmp_path / "good.jpg").read_bytes(), (tmp_path / "good.png").read_bytes()
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0xFF
    gif = tmp_path / "gif.png"
    Image.fromarray(GREY).save(gif, format="GIF")
    pages = tmp_path / "pages.tif"
    Image.fromarray(GREY).save(pages, save_all=True, append_images=[Image.fromarray(GREY)])
    float_tiff = tmp_path / "float.tif"
    Image.fromarray(GREY.astype(np.float32)).save(float_tiff)
    cmyk = tmp_path / "cmyk.jpg"
    Image.fromarray(RGB).convert("CMYK").save(cmyk)
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    contents = {
        "empty.png": (b"", "empty"),
        "one.png": (b"x", "unknown_format"),
        "html.jpg": (b"<html><script>alert(1)</script>", "unknown_format"),
        "eps.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unknown_format"),
        "half.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "tail.jpg": (jpeg[:-20], "truncated"),
        "half.png": (png[: len(png) // 2], "truncated"),
        "flipped.png": (bytes(flipped), "truncated"),
    }
    for name, (data, _) in contents.items():
        (tmp_path / name).write_bytes(data)
    expected = {name: reason for name, (_, reason) in contents.items()}
    expected |= {
        "gif.png": "unknown_format",
        "pages.tif": "many_frames",
        "float.tif": "wrong_mode",
        "cmyk.jpg": "wrong_mode",
        "folder.png": "not_a_file",
        "pipe.png": "not_a_file",
        "absent.png": "missing",
    }
    expected |= {bomb(tmp_path / f"{s}.png", s).name: "too_large" for s in (10_000, 40_000)}
    for name, reason in expected.items():
        with pytest.raises(UnreadableImage) as caught:
            read_image(tmp_path / name)
        assert caught.value.reason == reason, name
        assert name in str(caught.value)


def test_a_telephones_jpeg_with_a_preview_is_its_photograph(tmp_path):
    file = tmp_path / "phone.jpg"
    preview = Image.fromarray(RGB).resize((15, 10))
    Image.fromarray(RGB).save(file, format="MPO", save_all=True, append_images=[preview])
    part = read_image(file)
    assert part.pixels.shape == RGB.shape
    assert part.media_type == "image/jpeg"


def test_the_projects_limit_on_pixels_decides(tmp_path):
    """Pillow's own, of 89 million, would refuse a large line camera whatever the project says."""
    file = tmp_path / "wide.png"
    Image.new("1", (10_000, 9_500)).save(file)
    with pytest.raises(UnreadableImage, match="too large"):
        read_image(file)
    assert read_image(file, max_pixels=100_000_000).pixels.shape == (9_500, 10_000, 1)


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(ImageError, match="found nothing"):
        find_images(tmp_path / "absent")
    file = save(tmp_path / "a.png", GREY)
    with pytest.raises(ImageError, match="found a file"):
        find_images(file)


def prepare(pixels, tmp_path, **changes):
    part = read_image(save(tmp_path / "part.png", pixels))
    settings = dict(image_size=32, channels="auto", max_aspect_change=0.1)
    return Preparation.for_shapes([Shape.of(part)], **{**settings, **changes}), part


def test_a_restoration_is_as_bright_as_its_photograph(tmp_path):
    """Of 8 bits as it is; of more, on the scale that the photograph is shown on."""
    preparation, part = prepare(GREY, tmp_path)
    prepared = preparation(part)
    picture = preparation.picture(prepared, part.pixels)
    assert (picture.shape, picture.dtype) == ((32, 48, 3), np.uint8)
    assert (picture == picture[..., :1]).all()
    expected = np.rint((prepared[0] + 1) * 127.5)
    assert np.abs(picture[..., 0] - expected).max() == 0
    beyond = np.stack([np.full((32, 48), value, np.float32) for value in (-3, 0, 3)])
    assert preparation.picture(beyond, part.pixels)[0, 0].tolist() == [0, 128, 255]
    deep = replace(preparation, white=4095)
    photograph = np.linspace(1000, 2000, 32 * 48).astype(np.uint16).reshape(32, 48, 1)
    same = (photograph[..., 0] / np.float32(4095) * 2 - 1)[None]
    shown = to_display(photograph)
    assert np.abs(deep.picture(same, photograph).astype(int) - shown).max() <= 1
    assert (shown.min(), shown.max()) == (0, 255)


def test_preparation_scales_and_keeps_the_aspect(tmp_path):
    preparation, part = prepare(GREY, tmp_path)
    assert (preparation.height, preparation.width) == (32, 48)
    prepared = preparation(part)
    assert prepared.shape == (1, 32, 48)
    assert prepared.dtype == np.float32
    assert -1 <= prepared.min() < prepared.max() <= 1
    assert Preparation(**preparation.to_json()) == preparation


def test_twelve_bit_cameras_use_the_whole_range(tmp_path):
    pixels = np.full((32, 32), 4095, np.uint16)
    pixels[0, 0] = 0
    cv2.imwrite(str(tmp_path / "deep.png"), pixels)
    part = read_image(tmp_path / "deep.png")
    preparation = Preparation.for_shapes(
        [Shape.of(part)], image_size=32, channels="auto", max_aspect_change=0.1
    )
    prepared = preparation(part)
    assert preparation.white == 4095
    assert prepared.min() == -1
    assert prepared.max() == 1


def test_parts_that_do_not_fit_are_refused(tmp_path):
    preparation, _ = prepare(GREY, tmp_path)
    for pixels, reason in ((RGB, "wrong_mode"), (GREY[:, :20], "wrong_shape")):
        part = read_image(save(tmp_path / "other.png", pixels))
        with pytest.raises(UnreadableImage) as caught:
            preparation(part)
        assert caught.value.reason == reason
    cv2.imwrite(str(tmp_path / "deep.png"), DEEP)
    with pytest.raises(UnreadableImage, match="8-bit"):
        preparation(read_image(tmp_path / "deep.png"))
    thumbnail = read_image(save(tmp_path / "small.png", GREY[::5, ::5]))
    blank = read_image(save(tmp_path / "blank.png", np.full_like(GREY, 7)))
    red = read_image(save(tmp_path / "red.png", np.full_like(RGB, (200, 0, 0))))
    assert Shape.of(red).is_blank
    for part, reason in ((thumbnail, "too_small"), (blank, "blank")):
        with pytest.raises(UnreadableImage) as caught:
            preparation(part)
        assert caught.value.reason == reason
    to_grey, part = prepare(RGB, tmp_path, channels=1)
    assert to_grey(part).shape[0] == 1


def many(folder, count, start=0):
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(start)
    for index in range(count):
        save(folder / f"{start + index:03d}.png", random.integers(0, 256, (32, 32), np.uint8))


def test_hold_out_follows_content_and_duplicates_never_straddle(tmp_path):
    folder = tmp_path / "good"
    many(folder, 60)
    for index in range(10):  # the same pixels in other bytes
        with Image.open(folder / f"{index:03d}.png") as image:
            image.save(folder / f"copy{index}.png", compress_level=1)
    config = LineConfig(normal="x", image_size=32)
    parts = load_good_parts(folder, config)
    assert len(parts.train) == 48
    assert len(parts.held_out) == 12
    assert sum(p.reason == "duplicate" for p in parts.set_aside) == 10
    before = {origin.sha256 for origin in parts.held_out_origin}
    for path in list(folder.glob("*.png")):
        path.rename(folder / f"renamed-{path.name}")
    after = load_good_parts(folder, config)
    # Of twins either file may be the one that is kept, but all sides stay as they were.
    assert len({origin.sha256 for origin in after.held_out_origin} & before) >= 12 - 10
    contents = [{image.tobytes() for image in side.held_out} for side in (parts, after)]
    assert contents[0] == contents[1]
    names = {o.sha256 for o in after.train_origin} & {o.sha256 for o in after.held_out_origin}
    assert not names


@pytest.mark.parametrize(("count", "expected"), [(8, 2), (49, 10), (50, 10), (200, 40), (2, 1)])
def test_how_many_are_held_out(count, expected):
    alone = {str(i): str(i) for i in range(count)}
    held_out = choose_held_out(alone, 0.2, 0)
    assert len(held_out) == expected
    assert held_out == choose_held_out(dict(reversed(alone.items())), 0.2, 0)


def test_bad_files_are_set_aside_until_too_few_are_left(tmp_path):
    folder = tmp_path / "good"
    many(folder, 9)
    (folder / "bad.png").write_bytes(b"")
    save(folder / "colour.png", RGB)
    config = LineConfig(normal="x", image_size=32, images={"max_aspect_change": 10})
    parts = load_good_parts(folder, config)
    assert sorted(p.reason for p in parts.set_aside) == ["empty", "wrong_mode"]
    strict = config.model_copy(
        update={"training": config.training.model_copy(update={"min_images": 10})}
    )
    with pytest.raises(TooFewImages, match=r"at least 10 .* found 9; 2 set aside"):
        load_good_parts(folder, strict)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(TooFewImages, match="found 0"):
        load_good_parts(empty, config)


def test_heat_maps_survive_their_file():
    heatmap = RNG.normal(size=(16, 24)).astype(np.float32)
    data, scale, offset = encode_heatmap(heatmap)
    assert np.abs(decode_heatmap(data, scale, offset) - heatmap).max() <= scale
    flat = np.full((4, 4), 2.5, np.float32)
    assert np.allclose(decode_heatmap(*encode_heatmap(flat)), flat)
    with pytest.raises(ImageError):
        decode_heatmap(b"nonsense", 1.0, 0.0)


def test_labelled_folders_and_masks(tmp_path):
    for label in ("good", "dent"):
        (tmp_path / "test" / label).mkdir(parents=True)
        save(tmp_path / "test" / label / "0.png", GREY)
    (tmp_path / "ground_truth" / "dent").mkdir(parents=True)
    mask = np.zeros((20, 30), np.uint8)
    mask[4, 5] = 255  # far less than half of any pixel of the smaller map
    save(tmp_path / "ground_truth" / "dent" / "0_mask.png", mask)
    dent, good = find_labelled(tmp_path)
    assert good.is_good
    assert good.mask is None
    assert dent.label == "dent"
    assert read_mask(dent.mask, 10, 15).sum() == 1
    only = tmp_path / "only"
    (only / "good").mkdir(parents=True)
    save(only / "good" / "0.png", GREY)
    with pytest.raises(ImageError, match="1 good and 0 defective"):
        find_labelled(only)


@pytest.mark.parametrize(
    ("limit", "good", "defective"), [(20, 10, 10), (60, 40, 20), (10, 5, 5), (1000, 50, 20)]
)
def test_a_subset_of_labelled_parts_keeps_all_kinds(limit, good, defective):
    counts = {"crack": 10, "dent": 5, "good": 50, "stain": 5}
    parts = [
        LabelledPart(path=Path(f"{label}/{index}.png"), label=label, mask=None)
        for label, count in counts.items()
        for index in range(count)
    ]
    kept = thin_labelled(parts, limit)
    assert len(set(kept)) == len(kept) == good + defective
    assert sum(part.is_good for part in kept) == good
    assert {part.label for part in kept} == set(counts)


def test_even_spread_has_both_ends():
    assert spread_evenly(10, 4) == [0, 3, 6, 9]
    assert spread_evenly(3, 8) == [0, 1, 2]
    assert spread_evenly(5, 1) == [0]

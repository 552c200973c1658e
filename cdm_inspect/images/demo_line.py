"""A small synthetic line: machined plates under a camera, and four kinds of defect.

Nothing here is meant to be hard. It is meant to look like a factory, to be the same everywhere,
and to show every step of the product on any machine in a few minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cdm_inspect.files import write_durably

SIZE = 128
_SCALE = 2  # drawn larger, then averaged down, for smooth edges
Canvas = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class DemoCounts:
    """Photographs of each kind."""

    train: int = 200
    test_good: int = 40
    test_defect: int = 12


@dataclass(frozen=True)
class _Pose:
    """Where a plate lies: pixels of the large canvas, radians."""

    x: float
    y: float
    angle: float

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Canvas coordinates of a point of the plate."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return self.x + cos * x - sin * y, self.y + sin * x + cos * y


_HOLES = ((-36.0, -36.0), (36.0, -36.0), (-36.0, 36.0), (36.0, 36.0))


def write_demo_line(root: Path, *, seed: int = 0, counts: DemoCounts | None = None) -> None:
    """Write `data/A` below `root` in the MVTec layout; the same seed gives the same bytes."""
    counts = counts or DemoCounts()
    data = root / "data" / "A"
    random = np.random.default_rng(seed)
    for index in range(counts.train):
        image, _ = draw_plate(random)
        _write(data / "train" / "good" / f"{index:03d}.png", image)
    for index in range(counts.test_good):
        image, _ = draw_plate(random)
        _write(data / "test" / "good" / f"{index:03d}.png", image)
    for name in DEFECTS:
        for index in range(counts.test_defect):
            image, mask = draw_plate(random, name)
            _write(data / "test" / name / f"{index:03d}.png", image)
            _write(data / "ground_truth" / name / f"{index:03d}_mask.png", mask)


def write_demo_project(root: Path, *, seed: int = 0) -> None:
    """Write the synthetic line and its project file below `root`.

    A project file that is there already stays as somebody has left it.
    """
    write_demo_line(root, seed=seed)
    file = root / "cdm-inspect.toml"
    if file.exists():
        return
    write_durably(file, _DEMO_PROJECT.encode())


def draw_plate(
    random: np.random.Generator, defect: str | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """One photograph and the mask of its defect, both (128, 128) uint8; the mask is 0 or 255."""
    side = SIZE * _SCALE
    centre = side / 2
    jitter = random.normal(0, 2.0, 2)
    pose = _Pose(centre + jitter[0], centre + jitter[1], random.normal(0, 0.02))
    canvas = np.full((side, side), 0.18, np.float32)
    canvas += _grain(random, side, (9, 9), 0.015)

    plate = _polygon(side, [pose.place(x, y) for x, y in _corners(88)])
    steel = (
        0.62 + _grain(random, side, (81, 3), 0.05, pose.angle) + _grain(random, side, (3, 3), 0.02)
    )
    canvas = canvas * (1 - plate) + steel * plate
    edge = plate - _polygon(side, [pose.place(x, y) for x, y in _corners(84)])
    canvas += 0.12 * edge
    _bore(canvas, pose, (0.0, 0.0), 26.0)
    missing = int(random.integers(len(_HOLES))) if defect == "missing-hole" else None
    for number, hole in enumerate(_HOLES):
        if number != missing:
            _bore(canvas, pose, (hole[0] * 1.55, hole[1] * 1.55), 11.0)

    mask = np.zeros((side, side), np.float32)
    if missing is not None:
        x, y = _HOLES[missing]
        mask = _disc(side, pose.place(x * 1.55, y * 1.55), 11.0)
    elif defect is not None:
        canvas, mask = DEFECTS[defect](random, canvas, pose)

    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side - 0.5
    slope = random.normal(0, 0.08, 2)
    light = random.normal(1.0, 0.04) * (1 + slope[0] * x + slope[1] * y)
    image = cv2.resize(
        canvas * light.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_AREA
    )
    image += random.normal(0, 0.008, image.shape).astype(np.float32)
    small = cv2.resize(mask, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return _to_bytes(image), np.where(small >= 0.5, 255, 0).astype(np.uint8)


def _scratch(random: np.random.Generator, canvas: Canvas, pose: _Pose) -> tuple[Canvas, Canvas]:
    side = canvas.shape[0]
    start = random.uniform(-60, 60, 2)
    length, angle = random.uniform(50, 100), random.uniform(0, 2 * np.pi)
    bend = random.normal(0, 6, 2)
    end = start + length * np.array([np.cos(angle), np.sin(angle)])
    end = np.clip(end, -76, 76)
    points = [pose.place(*start), pose.place(*((start + end) / 2 + bend)), pose.place(*end)]
    mask = np.zeros((side, side), np.float32)
    line = np.rint(np.array(points)).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(mask, [line], False, 1.0, 4, cv2.LINE_AA)
    return canvas + random.choice([-0.22, 0.24]) * mask, mask


def _dent(random: np.random.Generator, canvas: Canvas, pose: _Pose) -> tuple[Canvas, Canvas]:
    side = canvas.shape[0]
    x, y = pose.place(*_free_spot(random))
    radius = random.uniform(8, 13)
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    distance = np.hypot(columns - x, rows - y) / radius
    # A dent shades one flank and lights the other.
    shade = ((columns - x) + (rows - y)) / radius * np.exp(-(distance**2) * 1.5)
    return canvas + 0.36 * shade.astype(np.float32), _disc(side, (x, y), radius * 1.2)


def _stain(random: np.random.Generator, canvas: Canvas, pose: _Pose) -> tuple[Canvas, Canvas]:
    side = canvas.shape[0]
    x, y = pose.place(*_free_spot(random))
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radii = random.uniform(12, 20) * (1 + 0.25 * np.sin(angles * 3 + random.uniform(0, 6)))
    radii *= random.uniform(0.85, 1.15, len(angles))
    outline = [(x + r * np.cos(a), y + r * np.sin(a)) for r, a in zip(radii, angles, strict=True)]
    mask = _polygon(side, outline)
    soft = cv2.GaussianBlur(mask, (0, 0), 3)
    return canvas * (1 - random.uniform(0.25, 0.38) * soft), mask


DEFECTS: dict[str, Callable[[np.random.Generator, Canvas, _Pose], tuple[Canvas, Canvas]]] = {
    "scratch": _scratch,
    "dent": _dent,
    "stain": _stain,
    "missing-hole": lambda random, canvas, pose: (canvas, canvas * 0),
}


def _free_spot(random: np.random.Generator) -> tuple[float, float]:
    """A point of the plate between the bore and the edge, in plate coordinates."""
    angle, radius = random.choice([0, 0.5, 1, 1.5]) * np.pi, random.uniform(46, 62)
    angle += random.uniform(-0.35, 0.35)
    return float(radius * np.cos(angle)), float(radius * np.sin(angle))


def _corners(half: float) -> list[tuple[float, float]]:
    cut = 12.0
    return [
        (-half + cut, -half),
        (half - cut, -half),
        (half, -half + cut),
        (half, half - cut),
        (half - cut, half),
        (-half + cut, half),
        (-half, half - cut),
        (-half, -half + cut),
    ]


def _bore(canvas: Canvas, pose: _Pose, at: tuple[float, float], radius: float) -> None:
    side, place = canvas.shape[0], pose.place(*at)
    chamfer, hole = _disc(side, place, radius + 3), _disc(side, place, radius)
    canvas += 0.18 * (chamfer - hole)
    canvas *= 1 - hole
    canvas += 0.06 * hole


def _disc(side: int, centre: tuple[float, float], radius: float) -> Canvas:
    mask = np.zeros((side, side), np.float32)
    at = (round(centre[0] * 16), round(centre[1] * 16))
    cv2.circle(mask, at, round(radius * 16), 1.0, -1, cv2.LINE_AA, shift=4)
    return mask


def _polygon(side: int, points: list[tuple[float, float]]) -> Canvas:
    mask = np.zeros((side, side), np.float32)
    corners = np.rint(np.array(points) * 16).astype(np.int32).reshape(-1, 1, 2)
    cv2.fillPoly(mask, [corners], 1.0, cv2.LINE_AA, shift=4)
    return mask


def _grain(
    random: np.random.Generator, side: int, kernel: tuple[int, int], std: float, angle: float = 0.0
) -> Canvas:
    """Noise smeared along a direction, with the given standard deviation."""
    noise = cv2.blur(random.normal(size=(side, side)).astype(np.float32), kernel)
    if angle:
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), -np.degrees(angle), 1.0)
        noise = cv2.warpAffine(noise, turn, (side, side), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(noise * (std / max(float(noise.std()), 1e-6)), np.float32)


def _to_bytes(image: Canvas) -> npt.NDArray[np.uint8]:
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _write(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    is_done, data = cv2.imencode(".png", pixels)
    assert is_done
    write_durably(path, data.tobytes())


_DEMO_PROJECT = """\
# A synthetic line written by `cdm-inspect demo`. Change it freely.

[store]
url = "sqlite:///cdm-inspect.db"
images = "images/"

[lines.A]
normal = "data/A/train/good"
image_size = 128
preset = "tiny"
scorer = "fused"
max_false_reject = 0.1

[lines.A.training]
images = "4k"    # about three minutes on two cores
"""

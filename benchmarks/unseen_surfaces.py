"""Do the defaults hold on parts that nobody chose them on? Three drawn lines, each trained afresh.

    python benchmarks/unseen_surfaces.py --budget 3m

`weave` is a regular texture at any phase and brightness, `gear` an object at any rotation, `cell` a
cell of a solar panel with grains of any shape. Defects are drawn by rules of their own, none of
which the synthetic battery of `calibrate` knows. Nothing in cdm-inspect was chosen on these lines.
The last line printed is JSON.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from cdm_inspect.project import open_project
from cdm_inspect.workflows.calibrate import calibrate
from cdm_inspect.workflows.evaluate import evaluate
from cdm_inspect.workflows.train import train

SIDE, N_TRAIN, N_GOOD, N_DEFECT = 128, 100, 40, 15
FIGURES = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO", "seconds_per_image")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, default=Path("benchmarks/out/unseen-surfaces"))
    parser.add_argument("--budget", default="3m")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--scorer", action="append", help="leave out for fused and residual")
    parser.add_argument("--reuse", action="store_true", help="evaluate what is trained already")
    arguments = parser.parse_args()

    arguments.project.mkdir(parents=True, exist_ok=True)
    lines = [(name, seed) for seed in range(arguments.seeds) for name in SURFACES]
    for name, seed in lines:
        draw_line(name, seed, arguments.project / "data" / f"{name}-{seed}")
    (arguments.project / "cdm-inspect.toml").write_text(
        "".join(
            f'[lines.{name}-{seed}]\nnormal = "data/{name}-{seed}/train/good"\n'
            f'preset = "{arguments.preset}"\nimage_size = {SIDE}\n'
            f'[lines.{name}-{seed}.training]\nbudget = "{arguments.budget}"\nseed = {seed}\n'
            for name, seed in lines
        )
    )
    found = defaultdict(list)
    for name, seed in lines:
        line = f"{name}-{seed}"
        project = open_project(arguments.project, line=line)
        if not arguments.reuse:
            train(project, line)
        for scorer in arguments.scorer or ("fused", "residual"):
            calibration = calibrate(project, line, scorer=scorer)
            row = evaluate(project, line, arguments.project / "data" / line, scorer=scorer)
            found[name, scorer].append({**row, "found": calibration.found})
        show(found, arguments)
    print(json.dumps([row for rows in found.values() for row in rows]))


def draw_line(name: str, seed: int, folder: Path) -> None:
    """Good parts to train on and to test with, and defective ones with their masks."""
    random = np.random.default_rng([seed, *name.encode()])
    make, defects = SURFACES[name]
    for split, count in (("train", N_TRAIN), ("test", N_GOOD)):
        for number in range(count):
            write(folder / split / "good" / f"{number:03}.png", make(random, None)[0])
    for kind in defects:
        for number in range(N_DEFECT):
            picture, mask = make(random, kind)
            write(folder / "test" / kind / f"{number:03}.png", picture)
            write(folder / "ground_truth" / kind / f"{number:03}_mask.png", mask.astype(float))


def write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)
    is_done, data = cv2.imencode(".png", pixels)
    assert is_done
    path.write_bytes(data.tobytes())


def weave(random: np.random.Generator, kind: str | None) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    y, x = y + random.uniform(0, 12), x + random.uniform(0, 12)
    inside = place(random, 10 if kind == "broken" else 16) if kind else np.zeros((SIDE, SIDE), bool)
    if kind == "pulled":  # threads run aside
        x = x + 4 * soften(inside, 4)
    period, contrast = random.uniform(7.8, 8.2), random.uniform(0.14, 0.2)
    warp, weft = np.sin(2 * np.pi * x / period), np.sin(2 * np.pi * y / period)
    over = np.sign(np.sin(np.pi * x / period) * np.sin(np.pi * y / period))
    if kind == "broken":  # a thread lies under where it should lie over
        over = np.where(inside, 1, over)
    picture = random.uniform(0.35, 0.6) + contrast * np.where(over > 0, warp, weft)
    if kind == "fibre":
        inside = curve(random, 2)
        picture = picture + 0.25 * inside
    return grainy(picture, random, 0.03), inside


def gear(random: np.random.Generator, kind: str | None) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2 - random.uniform(-3, 3, 2)[:, None, None]
    turned = np.arctan2(y, x) + random.uniform(0, 2 * np.pi)
    radius, teeth = np.hypot(y, x), 14
    height = 4 * np.tanh(4 * np.sin(teeth * turned))
    nothing = np.zeros((SIDE, SIDE), bool)
    inside = nothing
    gap = 2 * np.pi / teeth
    tooth = (np.mod(turned - 0.0, 2 * np.pi) < gap) & (radius < 55)
    if kind == "missing_tooth":
        inside = tooth & (height > 0) & (radius > 44) & (radius < 52)
        height = np.where(tooth, np.minimum(height, -4), height)
    body = (radius < 48 + height) & (radius > 14)
    shine = 0.55 + 0.1 * np.cos(2 * turned + random.uniform(0, 6)) + 0.05 * np.cos(radius)
    picture = np.where(body, shine * random.uniform(0.9, 1.1), 0.08)
    if kind == "chip":
        angle = random.uniform(0, 2 * np.pi)
        at = np.hypot(y - 45 * np.sin(angle), x - 45 * np.cos(angle)) < random.uniform(4, 7)
        inside = at & body
        picture = np.where(inside, 0.1, picture)
    if kind == "scratch":
        inside = curve(random, 1) & body
        picture = picture - 0.15 * inside
    return grainy(cv2.GaussianBlur(picture, (0, 0), 0.8), random, 0.02), inside


def cell(random: np.random.Generator, kind: str | None) -> tuple[np.ndarray, np.ndarray]:
    grain = random.normal(size=(SIDE // 8, SIDE // 8))
    grain = cv2.resize(grain, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    picture = random.uniform(0.4, 0.55) + 0.04 * cv2.GaussianBlur(grain, (0, 0), 1.5)
    shift, inside = int(random.integers(8)), np.zeros((SIDE, SIDE), bool)
    picture[shift::8] -= 0.12  # fingers
    if kind == "dead_finger":
        row = int(random.integers(4, 12)) * 8 + shift
        left = int(random.integers(10, 50))
        inside[row, left : left + int(random.integers(30, 60))] = True
        picture = picture + 0.12 * inside
    if kind == "crack":
        inside = curve(random, 1)
        picture = picture - 0.2 * inside
    if kind == "dark_patch":
        inside = place(random, 24)
        picture = picture - 0.09 * soften(inside, 3)
    for column in (SIDE // 4, 3 * SIDE // 4):
        picture[:, column - 2 : column + 2] = 0.85
    return grainy(picture, random, 0.02), inside


def place(random: np.random.Generator, side: int) -> np.ndarray:
    """An ellipse somewhere."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    centre = [int(value) for value in random.integers(side, SIDE - side, 2)]
    axes = [int(value) for value in random.integers(side // 3, side // 2 + 1, 2)]
    cv2.ellipse(mask, centre, axes, float(random.uniform(0, 180)), 0, 360, 1, -1)
    return mask.astype(bool)


def curve(random: np.random.Generator, width: int) -> np.ndarray:
    """A winding line of some length."""
    steps = random.normal(random.uniform(0, 2 * np.pi), 0.5, 12)
    path = np.cumsum(4 * np.stack([np.cos(steps), np.sin(steps)], axis=1), axis=0)
    path += random.uniform(0.3, 0.7, 2) * SIDE - path.mean(axis=0)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.polylines(mask, [np.rint(path).astype(np.int32)], False, 1, width)
    return mask.astype(bool)


def soften(mask: np.ndarray, sigma: float) -> np.ndarray:
    soft: np.ndarray = cv2.GaussianBlur(mask.astype(float), (0, 0), sigma)
    return soft


def grainy(picture: np.ndarray, random: np.random.Generator, noise: float) -> np.ndarray:
    return picture + noise * random.normal(size=picture.shape)


SURFACES = {
    "weave": (weave, ("broken", "pulled", "fibre")),
    "gear": (gear, ("missing_tooth", "chip", "scratch")),
    "cell": (cell, ("crack", "dead_finger", "dark_patch")),
}


def show(found: dict[tuple[str, str], list[dict[str, Any]]], arguments: argparse.Namespace) -> None:
    kinds = [kind for _, kinds in SURFACES.values() for kind in kinds]
    title = f"{arguments.preset}, {arguments.budget} each; image AUROC by kind of defect beside"
    table = Table("line", "scorer", *FIGURES, "kinds", title=title)
    for (name, scorer), rows in found.items():
        cells = [f"{np.mean([row[figure] for row in rows]):.3f}" for figure in FIGURES]
        per_kind = ", ".join(
            f"{kind} {np.mean([row['per_defect'][kind]['image_AUROC'] for row in rows]):.2f}"
            for kind in kinds
            if kind in rows[0]["per_defect"]
        )
        table.add_row(name, scorer, *cells, per_kind)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()

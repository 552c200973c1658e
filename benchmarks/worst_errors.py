"""The parts that a calibrated scorer gets most wrong, as pictures: look at them.

    python benchmarks/worst_errors.py --project benchmarks/out/real-parts --line part-0 --data ...

Half are good parts with the lowest p-values, half defective ones with the highest: photograph with
the defect's outline, and heat map over it, with the contour at the threshold. Writes one PNG.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from cdm_inspect.images import (
    LabelledPart,
    find_labelled,
    overlay_heatmap,
    read_image,
    read_mask,
    to_display,
)
from cdm_inspect.project import open_project
from cdm_inspect.records import Inspection
from cdm_inspect.workflows.assembly import open_inspector

Judged = tuple[LabelledPart, Inspection]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--line", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scorer", help="leave out for the line's own")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out/worst-errors.png"))
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()

    project = open_project(arguments.project, line=arguments.line)
    inspector = open_inspector(
        project, arguments.line, scorer=arguments.scorer, device=arguments.device
    )
    judged: list[Judged] = []
    for part in find_labelled(arguments.data):
        inspection = inspector.inspect(read_image(part.path))
        if inspection.score is None:
            print(f"{part.path} left out: {inspection.reason}")
            continue
        judged.append((part, inspection))
    judged.sort(key=lambda pair: -(pair[1].score or 0.0))
    half = arguments.count // 2
    good = [pair for pair in judged if pair[0].is_good][:half]
    defective = [pair for pair in judged if not pair[0].is_good][-half:][::-1]
    draw([*good, *defective], inspector.calibration.threshold, arguments.out)
    for part, inspection in (*good, *defective):
        print(f"{part.label:12} {part.path.name:24} {inspection.score:8.3f} p {inspection.p_value}")
    print(arguments.out)


def draw(shown: list[Judged], threshold: float, destination: Path) -> None:
    columns = (len(shown) + 1) // 2
    figure = Figure(figsize=(2.2 * columns, 9.6), layout="constrained")
    axes = figure.subplots(4, columns, squeeze=False)
    for number, (part, inspection) in enumerate(shown):
        row, column = 2 * (number // columns), number % columns
        picture = to_display(read_image(part.path).pixels)
        axes[row, column].imshow(outlined(picture, part.mask))
        axes[row, column].set_title(f"{part.label} {part.path.stem}", fontsize=7)
        assert inspection.heatmap is not None, part.path  # what has a score has a map
        axes[row + 1, column].imshow(overlay_heatmap(picture, inspection.heatmap, threshold, 0.6))
        axes[row + 1, column].set_title(
            f"score {inspection.score:.2f}, p {inspection.p_value:.3f}", fontsize=7
        )
    for cell in axes.flat:
        cell.set_axis_off()
    destination.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(destination, dpi=110)


def outlined(picture: np.ndarray, mask: Path | None) -> np.ndarray:
    if mask is None:
        return picture
    inside = read_mask(mask, *picture.shape[:2]).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    drawn = picture.copy()
    cv2.drawContours(drawn, contours, -1, (255, 80, 0), 1)
    return drawn


if __name__ == "__main__":
    main()

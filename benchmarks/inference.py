"""How long a part takes in each runtime, side by side in one run, and beside other detectors.

    python benchmarks/inference.py --image-size 256 --rounds 30

The scorer of a line (`fused`, default preset) on photographs of one size: PyTorch eager, compiled,
and each exported form, in turns on the same photographs, so that a busy machine slows all alike.
anomalib's PatchCore, PaDiM and EfficientAD-S stand beside them with random weights, for speed does
not depend on weights; their preparation is left out. Stages of one part are measured on their own.
Memory is the peak of a process that opens one runtime and scores with it. The exporter `openvino`
is that of `plugins/cdm-inspect-openvino`; it is left out where it is not installed. The last line
printed is JSON.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from cdm_inspect.calibration.record import conformal_p_value
from cdm_inspect.images import Preparation, damage, decode_image
from cdm_inspect.inspection.inspector import find_regions
from cdm_inspect.plugins import Exporter, ExporterOffer, Registry

BASE = "PyTorch eager"
FORMS = {
    "ONNX Runtime": ("onnx", {}),
    "ONNX Runtime, 8 bits": ("onnx", {"precision": "int8"}),
    "OpenVINO": ("openvino", {}),
    "OpenVINO, bfloat16": ("openvino", {"precision": "bf16"}),
}
ON_GPU = {
    "ONNX Runtime": ("onnx", {"provider": "CUDAExecutionProvider"}),
    "ONNX Runtime, half": ("onnx", {"provider": "CUDAExecutionProvider", "precision": "fp16"}),
}
QUANTILES = (0.5, 0.95, 0.99)


if TYPE_CHECKING:
    from torch.nn import Module

    from cdm_inspect.scoring.graph import ScoringGraph

Call = Callable[[np.ndarray], object]


def main() -> None:
    arguments = parse()
    if arguments.only:
        print(json.dumps(use_alone(arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        calls = open_all(arguments, Path(folder))
        rows = [row for size in arguments.batch for row in measure(arguments, calls, size)]
        memory = {name: memory_of(arguments, name, Path(folder)) for name in calls}
    stages = measure_stages(arguments)
    show(arguments, rows, stages, memory)
    print(json.dumps({"rows": rows, "stages": stages, "memory_mib": memory}))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--channels", type=int, default=3, choices=(1, 3))
    parser.add_argument("--preset", default="small")
    parser.add_argument("--scorer", default="fused")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--no-others", action="store_true", help="leave anomalib's models out")
    parser.add_argument("--form", action="append", help="exported forms; leave out for all")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--exported", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def preparation(arguments: argparse.Namespace) -> Preparation:
    side = arguments.image_size
    return Preparation(
        channels=arguments.channels,
        height=side,
        width=side,
        white=255,
        converts_to_grey=False,
        max_aspect_change=0.1,
        min_side=8,
    )


def photographs(arguments: argparse.Namespace, count: int, seed: int = 0) -> np.ndarray:
    """Smooth textures, (count, side, side, channels) uint8."""
    random = np.random.default_rng(seed)
    shape = (count, arguments.image_size, arguments.image_size, arguments.channels)
    noise = random.normal(size=shape).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(image, (0, 0), 3).reshape(shape[1:]) for image in noise])
    pictures: np.ndarray = np.clip(128 + 300 * smooth, 0, 255).astype(np.uint8)
    return pictures


def scoring_graph(arguments: argparse.Namespace) -> ScoringGraph:
    """The graph of a line whose network has learnt nothing, and whose scorer has been fitted."""
    import torch

    from cdm_inspect.builtin import cdm_inspect_scorers
    from cdm_inspect.model.diffusion import PRESETS, ConsistentDenoiser
    from cdm_inspect.scoring.graph import ScoringGraph
    from cdm_inspect.scoring.line_scorer import LineScorer

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    denoiser = ConsistentDenoiser(
        size=PRESETS[arguments.preset],
        centre=(0.0,) * arguments.channels,
        sigma_data=0.3,
        restores_cells=True,
    )
    denoiser.eval().requires_grad_(False).to(arguments.device)
    offer = next(o for o in cdm_inspect_scorers() if o.name == arguments.scorer)
    scorer = offer.build(denoiser, offer.options())
    prepare = preparation(arguments)
    line = LineScorer(scorer, options={}, model_id="bench", device=torch.device(arguments.device))
    images = prepare.scaled(photographs(arguments, 6).astype(np.float32), np)
    line.fit(torch.cat([line.observe(np.ascontiguousarray(image)) for image in images]))
    return (
        ScoringGraph(denoiser, line, prepare, np.linspace(0, 3, 500).tolist())
        .eval()
        .to(arguments.device)
    )


def open_all(arguments: argparse.Namespace, folder: Path) -> dict[str, Call]:
    """A call for each runtime, from photographs to numbers on the CPU."""
    graph = scoring_graph(arguments)
    calls = {BASE: in_torch(arguments, graph)}
    if not arguments.no_compile:
        calls["PyTorch compiled"] = in_torch(arguments, compiled(arguments, graph))
    forms = FORMS if arguments.device == "cpu" else ON_GPU
    hurt = [damaged(image) for image in photographs(arguments, 6, seed=2)]
    examples = [image[None] for image in [*photographs(arguments, 6, seed=1), *hurt]]
    for name in arguments.form or forms:
        exporter = exporter_of(arguments, name)
        if exporter is None:
            continue
        own = folder / name.replace(" ", "-")
        own.mkdir()
        cpu = graph.to("cpu")
        files = exporter.export(cpu, examples, own, any_size=True, metadata={})
        (own / "files.json").write_text(json.dumps([str(file) for file in files]))
        calls[name] = open_files(exporter, own)
    graph.to(arguments.device)
    if not arguments.no_others:
        calls |= others(arguments)
    return calls


def damaged(image: np.ndarray) -> np.ndarray:
    prepared = image.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    random = np.random.default_rng(0)
    hurt = damage(prepared, "spot", size=0.2, contrast=5.0, random=random).image
    spoilt: np.ndarray = np.rint((hurt.transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)
    return spoilt


def compiled(arguments: argparse.Namespace, graph: Module) -> Callable[..., Any]:
    """What is exported, compiled: for each size of a batch anew, so that none is slower for it."""
    import torch

    images = torch.from_numpy(photographs(arguments, 2)).to(arguments.device)
    with torch.no_grad():
        batch = ({0: torch.export.Dim("batch")},)
        program = torch.export.export(graph, (images,), dynamic_shapes=batch)
    return torch.compile(program.module(), dynamic=False)


def in_torch(arguments: argparse.Namespace, module: Callable[..., Any]) -> Call:
    import torch

    def call(images: np.ndarray) -> list[Any]:
        with torch.no_grad():
            found = module(torch.from_numpy(images).to(arguments.device))
            return [values.cpu() for values in found]

    return call


def exporter_of(arguments: argparse.Namespace, name: str) -> Exporter | None:
    kind, options = (FORMS if arguments.device == "cpu" else ON_GPU)[name]
    offers = Registry().usable(ExporterOffer)
    if kind not in offers:
        return None
    offer = offers[kind]
    return offer.build(offer.options(**options, threads=arguments.threads))


def open_files(exporter: Exporter, folder: Path) -> Call:
    graph = exporter.open([Path(file) for file in json.loads((folder / "files.json").read_text())])
    # What is asked for is on the CPU already.
    return lambda images: list(graph(images))


def others(arguments: argparse.Namespace) -> dict[str, Call]:
    """Architectures of anomalib, without their preparation; nothing is downloaded."""
    import torch
    from anomalib.models.image.efficient_ad.torch_model import EfficientAdModel
    from anomalib.models.image.padim.torch_model import PadimModel
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    side = arguments.image_size
    patchcore = PatchcoreModel(layers=["layer2", "layer3"], pre_trained=False).eval()
    # A tenth of the patches of 200 good parts.
    patchcore.memory_bank = torch.randn(200 * (side // 8) ** 2 // 10, 1536)
    padim = PadimModel(pre_trained=False, n_features=100).eval()
    places = (side // 4) ** 2
    padim.gaussian.mean = torch.zeros(100, places)
    padim.gaussian.inv_covariance = torch.eye(100).repeat(places, 1, 1)
    efficient = EfficientAdModel().eval()
    models = {"PatchCore": patchcore, "PaDiM": padim, "EfficientAD-S": efficient}

    def call(model: Module, images: np.ndarray) -> tuple[Any, Any]:
        with torch.inference_mode():
            pixels = torch.from_numpy(images).to(arguments.device)
            pixels = pixels.permute(0, 3, 1, 2).float() / 255
            found = model(pixels.expand(-1, 3, -1, -1))
            return found.pred_score.cpu(), found.anomaly_map.cpu()

    return {
        f"anomalib {name}": partial(call, model.to(arguments.device))
        for name, model in models.items()
    }


def measure(
    arguments: argparse.Namespace, calls: dict[str, Call], size: int
) -> list[dict[str, Any]]:
    images = photographs(arguments, size, seed=3)
    for call in calls.values():
        for _ in range(2):  # compiles, and fills caches
            call(images)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(arguments.rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            call(images)
            seconds[name].append((time.perf_counter() - began) / size)
    rows = []
    for name, found in seconds.items():
        ratio = np.median(np.array(found) / np.array(seconds[BASE]))
        p50, p95, p99 = np.quantile(found, QUANTILES) * 1000
        rows.append(
            {
                "runtime": name,
                "batch": size,
                "p50_ms": round(p50, 2),
                "p95_ms": round(p95, 2),
                "p99_ms": round(p99, 2),
                "ratio": round(float(ratio), 3),
            }
        )
    return rows


def measure_stages(arguments: argparse.Namespace) -> dict[str, float]:
    """Median milliseconds of what stands before and behind the model."""
    prepare, known = preparation(arguments), sorted(np.linspace(0, 3, 500))
    image = photographs(arguments, 1)[0]
    data = cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()
    part = decode_image(data, Path("part.png"), max_pixels=10**8)
    noise = np.random.default_rng(0).normal(size=image.shape[:2]).astype(np.float32)
    heatmap = 20 * cv2.GaussianBlur(noise, (0, 0), 6)  # some tens of regions
    work: dict[str, Callable[[], object]] = {
        "decode": lambda: decode_image(data, Path("part.png"), max_pixels=10**8),
        "prepare": lambda: prepare(part),
        "post": lambda: (
            conformal_p_value(known, 1.0),
            find_regions(heatmap, 2.0, image.shape[:2]),
        ),
    }
    found = {}
    for name, call in work.items():
        call()
        times = []
        for _ in range(max(30, arguments.rounds)):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
        found[name] = round(1000 * float(np.median(times)), 3)
    return found


def memory_of(arguments: argparse.Namespace, name: str, folder: Path) -> float | None:
    """Peak MiB of a process that opens one runtime and scores a part with it."""
    options = ["--only", name, "--exported", str(folder)]
    for key in ("image_size", "channels", "preset", "scorer", "threads", "device"):
        options += [f"--{key.replace('_', '-')}", str(getattr(arguments, key))]
    command = [sys.executable, __file__, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def use_alone(arguments: argparse.Namespace) -> float:
    name, own = arguments.only, arguments.exported / arguments.only.replace(" ", "-")
    if own.is_dir():
        exporter = exporter_of(arguments, name)
        assert exporter is not None, name
        call = open_files(exporter, own)
    elif name.startswith("anomalib"):
        call = others(arguments)[name]
    else:
        graph = scoring_graph(arguments)
        call = in_torch(arguments, graph if name == BASE else compiled(arguments, graph))
    call(photographs(arguments, 1))
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    return round(int(peak[1]) / 1024)


def show(
    arguments: argparse.Namespace,
    rows: list[dict[str, Any]],
    stages: dict[str, float],
    memory: dict[str, float | None],
) -> None:
    title = (
        f"{arguments.scorer}, {arguments.preset}, {arguments.image_size} px, "
        f"{arguments.channels} channels, {arguments.device}, {arguments.threads} threads"
    )
    table = Table("runtime", "batch", "p50 ms", "p95 ms", "p99 ms", "ratio", "MiB", title=title)
    for row in rows:
        used = memory[row["runtime"]]
        table.add_row(
            row["runtime"],
            str(row["batch"]),
            *(f"{row[f'p{q}_ms']:.1f}" for q in (50, 95, 99)),
            f"{row['ratio']:.2f}",
            "" if used is None else str(used),
        )
    Console(width=110).print(table)
    print("milliseconds a part of one image, beside the model:", stages)


if __name__ == "__main__":
    main()

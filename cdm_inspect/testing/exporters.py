"""The kit for exporters: the other runtime says what the graph says."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from cdm_inspect.images import resampled
from cdm_inspect.plugins import ExportedGraph, Exporter, ExporterOffer, GraphOutputs
from cdm_inspect.plugins.offers import check_offer
from cdm_inspect.records import PixelArray

METADATA = {"cdm_inspect.model": "0123456789ab", "cdm_inspect.line": "A ライン"}
_SIDE = 32


class SampleGraph(nn.Module):
    """What scorers are made of, in small: resizing, convolutions, norms, attention, pooling.

    Of colours it also says what it restores; of grey it has no such output.
    """

    noise: Tensor
    known: Tensor

    def __init__(self, channels: int, white: int) -> None:
        super().__init__()
        self.white = white
        self.inward = nn.Conv2d(channels, 16, 3, padding=1)
        self.norm = nn.GroupNorm(4, 16)
        self.down = nn.Conv2d(16, 16, 3, stride=2, padding=1)
        self.mixing = nn.Conv2d(16, 48, 1)
        self.outward = nn.Conv2d(32, channels + 1, 3, padding=1)
        self.register_buffer("noise", torch.randn(1, channels, _SIDE, _SIDE))
        self.register_buffer("known", torch.linspace(0.0, 3.0, 50))

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Scores, p-values and maps of a one-step residual over a variance, and the images."""
        planes = pixels.float().moveaxis(-1, -3)
        images = resampled(planes, _SIDE, _SIDE, torch) * (2.0 / self.white) - 1.0
        fine = functional.silu(self.norm(self.inward(images + 0.1 * self.noise)))
        coarse = functional.silu(self.down(fine))
        query, key, value = self.mixing(coarse).flatten(2).chunk(3, dim=1)
        weights = torch.softmax(query.transpose(1, 2) @ key / 4.0, dim=-1)
        mixed = (value @ weights.transpose(1, 2)).reshape(coarse.shape) + coarse
        large = functional.interpolate(mixed, scale_factor=2.0, mode="nearest")
        out = self.outward(torch.cat([fine, large], dim=1))
        residual = (images - out[:, :-1]) ** 2
        # No variance is next to nothing: what is divided by would be a rounding.
        maps = residual.mean(dim=1) / (0.5 + functional.softplus(out[:, -1]))
        smooth = functional.avg_pool2d(maps[:, None], 3, stride=1, padding=1)[:, 0]
        scores = smooth.flatten(1).topk(10, dim=1).values.mean(dim=1)
        p_values = (1 + (self.known >= scores[:, None]).sum(dim=1)).float() / (len(self.known) + 1)
        restored = (out[:, :-1],) if images.shape[1] == 3 else ()
        return scores, p_values, smooth, images, *restored


@cache
def sample_graph(channels: int, white: int) -> SampleGraph:
    """In evaluation mode, with weights of a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SampleGraph(channels, white).eval()


def sample_images(
    count: int, channels: int, white: int, seed: int = 0, side: int = _SIDE
) -> PixelArray:
    """(count, side, side + 4, channels), uint8 or, where white needs it, uint16."""
    random = np.random.default_rng(seed)
    found: PixelArray = random.integers(
        0, white, (count, side, side + 4, channels), np.uint8 if white < 256 else np.uint16
    )
    return found


class Case(NamedTuple):
    """A graph that was exported.

    Attributes:
        white: the brightest sample.
    """

    channels: int
    white: int
    folder: Path
    files: Sequence[Path]

    @property
    def graph(self) -> SampleGraph:
        """In torch."""
        return sample_graph(self.channels, self.white)

    def images(self, count: int, seed: int = 0, side: int = _SIDE) -> PixelArray:
        """For it."""
        return sample_images(count, self.channels, self.white, seed, side)


class ExporterConformance:
    """Tests of an exporter; inherit from it and name the offer.

    Attributes:
        offer: under test.
        options: set as on the command line.
    """

    offer: ClassVar[ExporterOffer]
    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(scope="class")
    @classmethod
    def exporter(cls) -> Exporter:
        """Built as the host builds it."""
        return cls.offer.build(cls.offer.options(**cls.options))

    @pytest.fixture(scope="class", params=[(1, 4095), (3, 255)], ids=["grey-12-bit", "colour"])
    @classmethod
    def exported(
        cls, request: pytest.FixtureRequest, exporter: Exporter, tmp_path_factory: Any
    ) -> Case:
        """A deep grey graph, and one of colours that also restores."""
        folder = tmp_path_factory.mktemp("exported")
        channels, white = request.param
        case = Case(channels, white, folder, ())
        examples = [case.images(1, seed=seed) for seed in range(4)]
        files = exporter.export(case.graph, examples, folder, any_size=True, metadata=METADATA)
        return case._replace(files=files)

    def _same(self, exporter: Exporter, case: Case, graph: ExportedGraph, pixels: Any) -> None:
        with torch.inference_mode():
            expected = GraphOutputs(*(v.numpy() for v in case.graph(torch.from_numpy(pixels))))
        found = graph(pixels)
        limit = exporter.tolerance * float(np.abs(expected.heatmap).max())
        assert (found.restored is None) == (expected.restored is None)
        for ours, theirs in zip(expected, found, strict=True):
            if ours is not None and theirs is not None:
                assert theirs.dtype == np.float32
                assert theirs.shape == ours.shape
        assert np.abs(found.score - expected.score).max() <= limit
        assert np.abs(found.heatmap - expected.heatmap).max() <= limit
        assert np.abs(found.prepared - expected.prepared).max() <= max(exporter.tolerance, 1e-4)
        if expected.restored is not None and found.restored is not None:
            scale = float(np.abs(expected.restored).max())
            assert np.abs(found.restored - expected.restored).max() <= exporter.tolerance * scale
        if exporter.tolerance < 1e-3:
            assert np.abs(found.p_value - expected.p_value).max() <= 1.5 / 51

    def test_the_offer_is_one_that_the_host_accepts(self) -> None:
        """Name, summary, options, contract, and a builder of one argument."""
        assert check_offer(self.offer, ExporterOffer) == ""

    def test_its_tolerance_is_small(self, exporter: Exporter) -> None:
        """By more than this nothing could be called the same."""
        assert 0 < exporter.tolerance <= 0.3

    def test_unknown_options_are_refused(self) -> None:
        """A slip on the command line must not go unnoticed."""
        with pytest.raises(ValidationError):
            self.offer.options(**{**self.options, "no_such_option_at_all": 1})

    def test_the_files_are_where_they_belong(self, exported: Case) -> None:
        """In the folder, not empty, and nothing that is not named."""
        assert exported.files
        written = {path for path in exported.folder.rglob("*") if path.is_file()}
        assert written == set(exported.files)
        assert all(path.stat().st_size for path in exported.files)

    @pytest.mark.parametrize(("batch", "side"), [(1, 32), (2, 32), (5, 32), (2, 77), (1, 20)])
    def test_it_says_what_the_graph_says(
        self, exporter: Exporter, exported: Case, batch: int, side: int
    ) -> None:
        """Within the tolerance, whatever the batch and the size of the photographs."""
        pixels = exported.images(batch, seed=batch, side=side)
        self._same(exporter, exported, exporter.open(exported.files), pixels)

    def test_files_that_were_moved_still_open(
        self, exporter: Exporter, exported: Case, tmp_path: Path
    ) -> None:
        """To another folder, as they are carried to a station."""
        moved = []
        for path in exported.files:
            target = tmp_path / path.relative_to(exported.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
            moved.append(target)
        self._same(exporter, exported, exporter.open(moved), exported.images(2, seed=9))

    def test_the_same_image_says_the_same_alone_and_again(
        self, exporter: Exporter, exported: Case
    ) -> None:
        """To the last bit when asked again; within the tolerance beside others."""
        graph, pixels = exporter.open(exported.files), exported.images(3, seed=4)
        first, second = graph(pixels), graph(pixels)
        for once, again in zip(first, second, strict=True):
            if once is not None and again is not None:
                assert np.array_equal(once, again)
        alone = np.concatenate([graph(image[None]).score for image in pixels])
        limit = exporter.tolerance * float(np.abs(first.heatmap).max())
        assert np.abs(alone - first.score).max() <= limit

    def test_what_was_written_beside_the_graph_is_read_back(
        self, exporter: Exporter, exported: Case
    ) -> None:
        """Every key, letters of any script included."""
        assert METADATA.items() <= dict(exporter.open(exported.files).metadata).items()

    def test_damaged_files_are_refused(
        self, exporter: Exporter, exported: Case, tmp_path: Path
    ) -> None:
        """The first half of the main file opens as nothing."""
        copies = []
        for path in exported.files:
            target = tmp_path / path.relative_to(exported.folder)
            data = path.read_bytes()
            target.write_bytes(data[: len(data) // 2] if path == exported.files[0] else data)
            copies.append(target)
        with pytest.raises(Exception):  # noqa: B017, PT011 - every runtime has its own
            exporter.open(copies)

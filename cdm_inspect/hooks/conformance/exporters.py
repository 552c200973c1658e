"""The kit for exporters: the other runtime says what the graph says."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from cdm_inspect.contracts import ExportedGraph, Exporter, ExporterOffer
from cdm_inspect.hooks.registry import check_offer
from cdm_inspect.records import FloatArray

METADATA = {"cdm_inspect.model": "0123456789ab", "cdm_inspect.line": "A ライン"}
_SIDE = 32


class SampleGraph(nn.Module):
    """What scorers are made of, in small: convolutions, norms, attention, sizes, pooling."""

    noise: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inward = nn.Conv2d(channels, 16, 3, padding=1)
        self.norm = nn.GroupNorm(4, 16)
        self.down = nn.Conv2d(16, 16, 3, stride=2, padding=1)
        self.mixing = nn.Conv2d(16, 48, 1)
        self.outward = nn.Conv2d(32, channels + 1, 3, padding=1)
        self.register_buffer("noise", torch.randn(1, channels, _SIDE, _SIDE))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and maps of a one-step residual over a variance."""
        fine = functional.silu(self.norm(self.inward(images + 0.1 * self.noise)))
        coarse = functional.silu(self.down(fine))
        query, key, value = self.mixing(coarse).flatten(2).chunk(3, dim=1)
        weights = torch.softmax(query.transpose(1, 2) @ key / 4.0, dim=-1)
        mixed = (value @ weights.transpose(1, 2)).reshape(coarse.shape) + coarse
        large = functional.interpolate(mixed, scale_factor=2.0, mode="nearest")
        out = self.outward(torch.cat([fine, large], dim=1))
        residual = (images - out[:, :-1]) ** 2
        maps = residual.mean(dim=1) / functional.softplus(out[:, -1])
        smooth = functional.avg_pool2d(maps[:, None], 3, stride=1, padding=1)[:, 0]
        return smooth.flatten(1).topk(10, dim=1).values.mean(dim=1), smooth


@cache
def sample_graph(channels: int) -> SampleGraph:
    """In evaluation mode, with weights of a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SampleGraph(channels).eval()


def sample_images(count: int, channels: int, seed: int = 0) -> FloatArray:
    """(count, channels, 32, 32) in [-1, 1]."""
    random = np.random.default_rng(seed)
    return random.uniform(-1, 1, (count, channels, _SIDE, _SIDE)).astype(np.float32)


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

    @pytest.fixture(scope="class", params=[1, 3], ids=["grey", "colour"])
    @classmethod
    def exported(
        cls, request: pytest.FixtureRequest, exporter: Exporter, tmp_path_factory: Any
    ) -> tuple[int, Path, Sequence[Path]]:
        """A grey and a colour graph: channels, folder, files."""
        folder = tmp_path_factory.mktemp("exported")
        channels: int = request.param
        files = exporter.export(
            sample_graph(channels), sample_images(1, channels), folder, metadata=METADATA
        )
        return channels, folder, files

    def _same(self, graph: ExportedGraph, images: FloatArray) -> None:
        with torch.inference_mode():
            scores, maps = sample_graph(images.shape[1])(torch.from_numpy(images))
        found_scores, found_maps = graph(images)
        assert found_scores.dtype == found_maps.dtype == np.float32
        assert found_scores.shape == scores.shape
        assert found_maps.shape == maps.shape
        limit = self.offer.tolerance * float(maps.abs().max())
        assert np.abs(found_scores - scores.numpy()).max() <= limit
        assert np.abs(found_maps - maps.numpy()).max() <= limit

    def test_the_offer_is_one_that_the_host_accepts(self) -> None:
        """Name, summary, options, contract, and a builder of one argument."""
        assert check_offer(self.offer, ExporterOffer) == ""
        assert 0 < self.offer.tolerance <= 0.05

    def test_unknown_options_are_refused(self) -> None:
        """A slip on the command line must not go unnoticed."""
        with pytest.raises(ValidationError):
            self.offer.options(**{**self.options, "no_such_option_at_all": 1})

    def test_the_files_are_where_they_belong(
        self, exported: tuple[int, Path, Sequence[Path]]
    ) -> None:
        """In the folder, not empty, and nothing that is not named."""
        _, folder, files = exported
        assert files
        assert {path for path in folder.rglob("*") if path.is_file()} == set(files)
        assert all(path.stat().st_size for path in files)

    @pytest.mark.parametrize("batch", [1, 2, 5])
    def test_it_says_what_the_graph_says(
        self, exporter: Exporter, exported: tuple[int, Path, Sequence[Path]], batch: int
    ) -> None:
        """Scores and maps within the tolerance, whatever the batch."""
        channels, _, files = exported
        self._same(exporter.open(files), sample_images(batch, channels, seed=batch))

    def test_files_that_were_moved_still_open(
        self, exporter: Exporter, exported: tuple[int, Path, Sequence[Path]], tmp_path: Path
    ) -> None:
        """To another folder, as they are carried to a station."""
        channels, folder, files = exported
        moved = []
        for path in files:
            target = tmp_path / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
            moved.append(target)
        self._same(exporter.open(moved), sample_images(2, channels, seed=9))

    def test_the_same_image_says_the_same_alone_and_again(
        self, exporter: Exporter, exported: tuple[int, Path, Sequence[Path]]
    ) -> None:
        """To the last bit when asked again; within the tolerance beside others."""
        channels, _, files = exported
        graph, images = exporter.open(files), sample_images(3, channels, seed=4)
        (first, maps), (second, maps_again) = graph(images), graph(images)
        assert np.array_equal(first, second)
        assert np.array_equal(maps, maps_again)
        alone = np.concatenate([graph(image[None])[0] for image in images])
        assert np.abs(alone - first).max() <= self.offer.tolerance * float(np.abs(maps).max())

    def test_what_was_written_beside_the_graph_is_read_back(
        self, exporter: Exporter, exported: tuple[int, Path, Sequence[Path]]
    ) -> None:
        """Every key, letters of any script included."""
        _, _, files = exported
        assert METADATA.items() <= dict(exporter.open(files).metadata).items()

    def test_damaged_files_are_refused(
        self, exporter: Exporter, exported: tuple[int, Path, Sequence[Path]], tmp_path: Path
    ) -> None:
        """The first half of the main file opens as nothing."""
        _, folder, files = exported
        copies = []
        for path in files:
            target = tmp_path / path.relative_to(folder)
            data = path.read_bytes()
            target.write_bytes(data[: len(data) // 2] if path == files[0] else data)
            copies.append(target)
        with pytest.raises(Exception):  # noqa: B017, PT011 - every runtime has its own
            exporter.open(copies)

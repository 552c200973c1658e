"""Parts without a line: enough for a training of a few steps."""

import numpy as np
import pytest

from cdm_inspect.images import GoodParts, Preparation
from cdm_inspect.images.dataset import PartOrigin


@pytest.fixture
def tiny_parts(tmp_path):
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (12, 1, 32, 32)).astype(np.float32)
    origin = [PartOrigin(path=tmp_path / str(i), sha256=f"{i:064d}") for i in range(12)]
    return GoodParts(
        preparation=Preparation(
            channels=1,
            height=32,
            width=32,
            white=255,
            converts_to_grey=False,
            max_aspect_change=0.1,
            min_side=16,
        ),
        train=images[:9],
        held_out=images[9:],
        train_origin=tuple(origin[:9]),
        held_out_origin=tuple(origin[9:]),
        set_aside=(),
    )

"""The consistent diffusion model in anomalib's own world: fit, test, predict, a checkpoint."""

import cv2
import numpy as np
import pytest
import torch
from anomalib.data import Folder
from anomalib.engine import Engine
from cdm_inspect_anomalib.module import Cdm

from cdm_inspect.errors import CheckpointMismatch

SIZE = 32
SETTINGS = {"training": {"crop_size": 16, "batch_size": 8}, "consistency": {"budget": "inf"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Gratings, and gratings with a blot."""
    root, random = tmp_path_factory.mktemp("gratings"), np.random.default_rng(0)
    for kind, count in (("train", 30), ("good", 12), ("blot", 12)):
        (root / kind).mkdir()
        for number in range(count):
            x = np.arange(SIZE) * 0.8 + random.uniform(0, 6)
            picture = 120 + 50 * np.sin(x)[None] + random.normal(0, 6, (SIZE, SIZE))
            if kind == "blot":
                top, left = random.integers(4, 20, 2)
                picture[top : top + 7, left : left + 7] = 250
            cv2.imwrite(str(root / kind / f"{number}.png"), picture.clip(0, 255).astype(np.uint8))
    return root


@pytest.fixture(scope="module")
def data(folder):
    return Folder(
        name="gratings",
        root=folder,
        normal_dir="train",
        normal_test_dir="good",
        abnormal_dir="blot",
        train_batch_size=8,
        eval_batch_size=8,
        num_workers=0,
    )


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory):
    model = Cdm(
        images="4k",
        preset="tiny",
        scorer="residual",
        settings=SETTINGS,
        pre_processor=Cdm.configure_pre_processor((SIZE, SIZE)),
        visualizer=False,
    )
    engine = Engine(default_root_dir=tmp_path_factory.mktemp("results"), accelerator="cpu")
    engine.fit(model=model, datamodule=data)
    return engine, model


def test_it_finds_what_is_odd(fitted, data):
    engine, model = fitted
    (metrics,) = engine.test(model=model, datamodule=data)
    assert metrics["image_AUROC"] > 0.9
    batches = engine.predict(model=model, dataset=data.test_data)
    assert all(batch.anomaly_map.shape[-2:] == (SIZE, SIZE) for batch in batches)


def test_grey_images_are_learnt_as_grey(fitted):
    assert fitted[1].model.detector.card.preparation.channels == 1


def test_a_score_does_not_depend_on_the_batch(fitted):
    images = torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    together = fitted[1].model(images).pred_score
    alone = torch.cat([fitted[1].model(image[None]).pred_score for image in images])
    assert torch.equal(together, alone)


def test_a_checkpoint_says_the_same(fitted):
    engine, model = fitted
    loaded = Cdm.load_from_checkpoint(
        engine.best_model_path or engine.trainer.checkpoint_callback.last_model_path
    )
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.model(images).pred_score, model.model(images).pred_score)


def test_before_it_has_learnt_it_says_so():
    with pytest.raises(CheckpointMismatch, match="nothing has been learnt"):
        Cdm(visualizer=False).model(torch.zeros(1, 3, SIZE, SIZE))

import numpy as np
import pytest
import torch
from anomalib import metrics
from anomalib.data import ImageBatch
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score

from cdm_inspect.evaluation import bootstrap


def parts(seed=0, n=40, gap=1.0, ties=False):
    random = np.random.default_rng(seed)
    labels = np.arange(2 * n) < n
    scores = random.normal(size=2 * n) + gap * labels
    return (np.round(scores) if ties else scores), labels


def curves(scores, labels):
    counted = bootstrap._counting(scores)
    return counted(labels.astype(float)), counted((~labels).astype(float))


@pytest.mark.parametrize("ties", [False, True])
def test_the_figures_that_are_resampled_are_those_of_the_libraries(ties):
    scores, labels = parts(ties=ties)
    true, false = curves(scores, labels)
    area = bootstrap.area_under(false / false[-1], true / true[-1])
    assert area == pytest.approx(roc_auc_score(labels, scores))
    precision, recall, _ = precision_recall_curve(labels, scores)
    assert bootstrap.precision_area(true, false) == pytest.approx(auc(recall, precision))
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    assert bootstrap.best_f1(true, false) == pytest.approx(f1.max())


def test_intervals_hold_the_true_figure_about_as_often_as_they_say():
    """AUROC of two normals a standard deviation apart is Phi(1 / sqrt 2) = 0.760."""
    inside = 0
    for seed in range(120):
        low, high = bootstrap.image_intervals(*parts(seed), draws=200)["AUROC"]
        inside += low <= 0.7602 <= high
    assert 0.87 <= inside / 120 <= 0.99


def pictures(seed=0, n=12, side=48):
    random = np.random.default_rng(seed)
    masks = np.zeros((n, side, side), bool)
    for number in range(n // 2):
        y, x = random.integers(2, side - 14, 2)
        masks[number, y : y + 10, x : x + random.integers(3, 12)] = True
        masks[number, :2, :3] = True  # a second region
    maps = random.normal(size=masks.shape) + 1.2 * masks
    return maps.astype(np.float32), masks


def anomalib_figures(maps, masks):
    batch = ImageBatch(
        image=torch.zeros(len(maps), 3, *maps.shape[1:]),
        anomaly_map=torch.from_numpy(maps),
        gt_mask=torch.from_numpy(masks),
    )
    found = []
    for name in ("AUROC", "AUPRO"):
        metric = getattr(metrics, name)(fields=["anomaly_map", "gt_mask"])
        metric.update(batch)
        found.append(float(metric.compute()))
    return found


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_pixel_figures_that_are_resampled_are_those_of_anomalib():
    maps, masks = pictures()
    # One draw in which each part is drawn once.
    once = np.ones(len(maps))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "_draws", lambda labels, draws: [once])
        patch.setattr(bootstrap, "_percentiles", lambda values: (values[0], values[0]))
        found = bootstrap.pixel_intervals(maps, masks, draws=1)
    auroc, aupro = anomalib_figures(maps, masks)
    assert found["AUROC"] == pytest.approx((auroc, auroc), abs=2e-3)
    assert found["AUPRO"] == pytest.approx((aupro, aupro), abs=4e-3)
    low, high = bootstrap.pixel_intervals(maps, masks, draws=200)["AUPRO"]
    assert low < aupro < high
    assert high - low > 0.01


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_intervals_of_good_detectors_hold_their_figure():
    """Their whole curve lies where false positives are rare."""
    maps, masks = pictures(n=40)
    maps = maps + 3.8 * masks
    found = bootstrap.pixel_intervals(maps, masks, draws=200)
    for name, value in zip(("AUROC", "AUPRO"), anomalib_figures(maps, masks), strict=True):
        assert value > 0.99
        assert found[name][0] <= value <= found[name][1] + 1e-4


def test_too_few_parts_have_no_interval():
    labels = np.arange(10) < 5
    found = bootstrap.image_intervals(np.where(labels, 5.0, 1.0) + np.arange(10) / 10, labels)
    assert found["AUROC"] is None


def test_flat_maps_are_no_better_than_chance():
    _, masks = pictures()
    found = bootstrap.pixel_intervals(np.zeros(masks.shape, np.float32), masks, draws=20)
    assert found["AUROC"] is None

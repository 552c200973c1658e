"""Scores of held-out parts, by what the others have taught."""

import numpy as np
import pytest
import torch

from cdm_inspect.errors import PluginFailed
from cdm_inspect.images import battery
from cdm_inspect.plugins import ScoreBatch
from cdm_inspect.scoring.fitting import _CONTRASTS, _SIZES, SEED, fit_scorer
from cdm_inspect.scoring.line_scorer import LineScorer


class Brightness:
    """How far a part's mean lies from those it was fitted on; notes whom it has learnt from."""

    def __init__(self):
        self.mean, self.fits = None, []

    def observe(self, images, *, seeds):
        return images.mean(dim=(1, 2, 3))[:, None]

    def fit(self, evidence):
        self.mean = evidence.mean()
        self.fits.append(evidence[:, 0].tolist())

    def judge(self, evidence):
        distance = (evidence[:, 0] - self.mean).abs()
        return ScoreBatch(distance, distance[:, None, None].expand(-1, 16, 16))

    def score(self, images, *, seeds):
        return self.judge(self.observe(images, seeds=seeds))

    def state(self):
        return {"mean": np.array([float(self.mean)], np.float32)}

    def restore(self, state):
        self.mean = torch.tensor(state["mean"][0])


class Tuned(Brightness):
    """The same; notes what its choices are shown."""

    def combine(self, evidence):
        return self.judge(evidence).maps

    def pool(self, layers):
        return ScoreBatch(layers.amax(dim=(1, 2)), layers)

    def tune(self, good, damaged):
        self.shown = good, damaged

    def describe(self):
        return {"chosen": "nothing"}


def line_scorer(scorer, **rest):
    return LineScorer(scorer, options={}, model_id="m", device=torch.device("cpu"), **rest)


@pytest.fixture
def parts():
    """Flat parts, each of a brightness of its own, with a little texture."""
    random = np.random.default_rng(0)
    levels = np.linspace(-0.5, 0.5, 11, dtype=np.float32)
    texture = 0.01 * random.normal(size=(11, 1, 16, 16)).astype(np.float32)
    return levels[:, None, None, None] + texture


def copies_of(parts):
    return battery(parts, seed=SEED, sizes=_SIZES, contrasts=_CONTRASTS)


@pytest.mark.parametrize("kind", [Brightness, Tuned])
def test_no_part_teaches_its_own_score(kind, parts):
    scorer = kind()
    scores = fit_scorer(line_scorer(scorer), parts, tick=lambda done, total: None)
    means = parts.mean(axis=(1, 2, 3))
    folds, last = scorer.fits[:-1], scorer.fits[-1]
    assert np.allclose(last, means)
    for mean, score in zip(means, scores, strict=True):
        (others,) = [fold for fold in folds if not np.isclose(fold, mean, atol=1e-6).any()]
        assert score == pytest.approx(abs(mean - np.mean(others)), abs=1e-5)
    if kind is Tuned:
        good, damaged = scorer.shown
        assert len(good) == 11
        assert line_scorer(scorer).describe() == {"chosen": "nothing"}
        assert len(damaged.layers) == len(damaged.masks) == 42
        # A copy, too, is judged by the fold that does not know the part it was made from.
        for number, copy in enumerate(copies_of(parts)):
            mean = means[number % 11]
            (others,) = [fold for fold in folds if not np.isclose(fold, mean, atol=1e-6).any()]
            expected = abs(copy.image.mean() - np.mean(others))
            assert float(damaged.layers[number].amax()) == pytest.approx(expected, abs=1e-3)


def test_parts_that_were_trained_on_teach_every_fold_and_are_not_scored(parts):
    known = 0.8 + np.zeros((4, 1, 16, 16), np.float32)
    scorer, ticks = Tuned(), []
    scores = fit_scorer(
        line_scorer(scorer), parts, trained_on=known, tick=lambda *at: ticks.append(at)
    )
    assert len(scores) == 11
    assert len(scorer.shown[0]) == 11
    assert ticks[-1] == (11 + 4 + 42, 11 + 4 + 42)
    for fit in scorer.fits:
        assert np.isclose(fit, 0.8).sum() == 4
    means = parts.mean(axis=(1, 2, 3))
    for mean, score in zip(means, scores, strict=True):
        (others,) = [fit for fit in scorer.fits if not np.isclose(fit, mean, atol=1e-6).any()]
        assert score == pytest.approx(abs(mean - np.mean(others)), abs=1e-5)


class Scaled(Tuned):
    """Its score is said in multiples of the mean score of good parts."""

    def __init__(self):
        super().__init__()
        self.unit, self.units = 1.0, []

    def scale(self, good):
        self.unit = float(good.amax(dim=(1, 2)).mean())
        self.units.append(self.unit)

    def pool(self, layers):
        return ScoreBatch(layers.amax(dim=(1, 2)) / self.unit, layers)


def test_no_part_has_a_share_in_the_scale_of_its_score(parts):
    scorer = Scaled()
    scores = np.array(fit_scorer(line_scorer(scorer), parts, tick=lambda *at: None))
    plain = scorer.shown[0].amax(dim=(1, 2)).numpy()
    assert len(scorer.units) == 6
    for index in range(11):
        others = plain[np.arange(11) % 5 != index % 5]
        assert scores[index] == pytest.approx(plain[index] / others.mean(), rel=1e-4)
    assert scorer.unit == pytest.approx(plain.mean(), rel=1e-4)


def test_further_parts_are_scored_by_what_the_first_have_taught(parts, monkeypatch):
    monkeypatch.setattr("cdm_inspect.scoring.fitting._MOST", 4)
    monkeypatch.setattr("cdm_inspect.scoring.fitting._LEAST", 4)
    ticks = []
    scorer = Brightness()
    scores = fit_scorer(line_scorer(scorer), parts, tick=lambda *at: ticks.append(at))
    assert len(scores) == 11
    assert max(len(fit) for fit in scorer.fits) == 4
    assert ticks[-1] == (11, 11)
    assert scores[1] == pytest.approx(abs(parts[1].mean() - np.mean(scorer.fits[-1])), abs=1e-5)


def test_damage_is_done_where_the_line_looks(parts):
    region = np.zeros((16, 16), bool)
    region[2:5, 10:14] = True
    scorer = Tuned()
    fit_scorer(line_scorer(scorer, region=region, level=[0.0]), parts, tick=lambda *at: None)
    masks = scorer.shown[1].masks
    assert len(masks) == 42
    assert float((masks & torch.from_numpy(region)).flatten(1).any(dim=1).float().mean()) > 0.9


METHODS = ["observe", "fit", "judge", "combine", "tune", "pool", "describe", "state", "restore"]


@pytest.mark.parametrize("method", METHODS)
def test_whatever_a_scorer_raises_while_it_learns_has_its_name_on(parts, method):
    class Broken(Tuned):
        pass

    def fail(self, *arguments, **rest):
        raise ZeroDivisionError("no idea")

    setattr(Broken, method, fail)
    line = line_scorer(Broken())

    def learn():
        fit_scorer(line, parts, tick=lambda *at: None)
        line.describe()
        line.restore(line.state())
        line.score(parts[:1])

    with pytest.raises(PluginFailed, match="ZeroDivisionError: no idea"):
        learn()


@pytest.mark.parametrize("rows", [2, 0])
def test_evidence_is_of_one_part_and_finite(parts, rows):
    class Odd(Brightness):
        def observe(self, images, *, seeds):
            return torch.zeros(rows, 1) if rows else torch.full((1, 1), float("nan"))

    with pytest.raises(PluginFailed, match="evidence of 1 part"):
        fit_scorer(line_scorer(Odd()), parts, tick=lambda *at: None)


def test_evidence_of_all_parts_has_one_shape(parts):
    class Growing(Brightness):
        def observe(self, images, *, seeds):
            self.size = getattr(self, "size", 0) + 1
            return torch.zeros(1, self.size)

    with pytest.raises(PluginFailed, match=r"expected evidence of shape \(1, 1\), found \(1, 2\)"):
        fit_scorer(line_scorer(Growing()), parts, tick=lambda *at: None)

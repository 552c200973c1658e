"""Defects among the good parts: after a short training, which of them look least like the others?

The parts are cut in two. A model is trained on each half and judges the other, so that no part is
judged by a model that has seen it; each score comes from statistics of other parts (`fit_scorer`).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import norm

from cdm_inspect.calibration.guarantees import rate_interval
from cdm_inspect.config import LineConfig
from cdm_inspect.config.units import parse_duration
from cdm_inspect.images import GoodParts, load_good_parts, load_manifest
from cdm_inspect.model.checkpoint import load_model
from cdm_inspect.model.training import Training
from cdm_inspect.project import Project
from cdm_inspect.scoring.fitting import fit_scorer
from cdm_inspect.workflows.assembly import build_scorer, check_scorer_fits

Told = Callable[[float], None]
"""Told how much is done, from 0 to 1."""

Floats = npt.NDArray[np.float64]

# Share of the work that training takes, about.
_TRAINING = 0.8
_DRAWS = 200
# Quantiles that a tenth of defects at the upper end hardly moves.
_LOW, _MIDDLE, _HIGH = 0.1, 0.5, 0.75
# A part beyond this share of the fitted good parts counts as suspicious.
_BEYOND = 0.99


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A good part and how odd it looks.

    Attributes:
        decision: of a person, from the manifest; empty where there is none.
        oddness: score in robust standard deviations above the median of its half.
    """

    path: Path
    sha256: str
    decision: str
    oddness: float


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """All good parts, the most suspicious first.

    Attributes:
        share: estimated share of parts that are none, with a 95 % bootstrap interval.
        scorer: that judged.
    """

    suspects: tuple[Suspect, ...]
    share: float
    share_interval: tuple[float, float]
    scorer: str

    @property
    def listed(self) -> tuple[Suspect, ...]:
        """The tenth of the parts that somebody should look at; accepted ones are left out."""
        count = math.ceil(len(self.suspects) / 10)
        return tuple(s for s in self.suspects[:count] if s.decision != "accept")


def find_contamination(
    project: Project,
    line: str,
    *,
    budget: str = "4m",
    scorer: str | None = None,
    device: str = "auto",
    told: Told = lambda done: None,
) -> Contamination:
    """Rank the good parts of a line by how little they look like the others.

    Args:
        project: opened.
        line: whose parts; it need not have been trained.
        budget: training time of both halves together.
        scorer: another than the line's.
        device: "auto", "cpu" or "cuda".
        told: how much is done.
    """
    config = project.config.line(line)
    check_scorer_fits(project, config)
    name = scorer or config.scorer
    short = _short(config, parse_duration(budget) / 2)
    manifest = load_manifest(project.manifest_file(line))
    first = load_good_parts(project.path(config.normal), short, manifest=manifest)
    suspects: list[Suspect] = []
    for number, half in enumerate((first, _swapped(first))):

        def within(share: float, number: int = number) -> None:
            told((number + share) / 2)

        scores = _scores_of(project, line, short, half, name, device, within)
        suspects += [
            Suspect(
                path=origin.path,
                sha256=origin.sha256,
                decision=manifest.decision_of(origin.sha256),
                oddness=float(oddness),
            )
            for origin, oddness in zip(half.held_out_origin, standardise(scores), strict=True)
        ]
    suspects.sort(key=lambda suspect: -suspect.oddness)
    share, interval = estimate_share([suspect.oddness for suspect in suspects])
    return Contamination(
        suspects=tuple(suspects), share=share, share_interval=interval, scorer=name
    )


def _short(config: LineConfig, seconds: float) -> LineConfig:
    """Half of the parts held out, a short run from the start, without the consistency term."""
    training = config.training.model_copy(
        update={"held_out": 0.5, "budget": f"{seconds}s", "images": None}
    )
    consistency = config.consistency.model_copy(
        update={"weight": 0.0, "schedule": "ramp", "checkpoint": None}
    )
    return config.model_copy(update={"training": training, "consistency": consistency})


def _swapped(parts: GoodParts) -> GoodParts:
    return replace(
        parts,
        train=parts.held_out,
        held_out=parts.train,
        train_origin=parts.held_out_origin,
        held_out_origin=parts.train_origin,
    )


def _scores_of(
    project: Project,
    line: str,
    config: LineConfig,
    half: GoodParts,
    scorer: str,
    device: str,
    told: Told,
) -> Floats:
    """Train on one half, in a folder of its own, and score the other."""
    with tempfile.TemporaryDirectory(prefix="cdm-inspect-") as folder:
        training = Training(line, config, half, Path(folder), device=device)
        for tick in training.run():
            told(_TRAINING * tick.progress)
        model = load_model(Path(folder), training.fabric.device)
    built = build_scorer(project, config, model, scorer)

    def tick_scores(done: int, total: int) -> None:
        told(_TRAINING + (1 - _TRAINING) * done / total)

    fitted = fit_scorer(built, half.held_out, trained_on=half.train, tick=tick_scores)
    return np.asarray(fitted, np.float64)


def standardise(scores: npt.ArrayLike) -> Floats:
    """Scores in robust standard deviations (median absolute deviation) above their median."""
    values = np.asarray(scores, np.float64)
    centre = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - centre))
    return np.asarray((values - centre) / max(spread, 1e-12))


def estimate_share(oddness: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Share of parts that stand out as none, and its 95 % interval.

    Good parts are taken to follow a shifted lognormal distribution, fitted to quantiles below the
    upper quarter; what lies beyond its 99 % point in excess of 1 % is none. Defects that look no
    odder than good parts cannot be counted: the truth may be higher. The interval is a bootstrap;
    its upper end is at least that of an exact interval for what lies beyond.

    Args:
        oddness: of all parts, at least 20 for an answer that means something.
    """
    values = np.asarray(oddness, np.float64)
    random = np.random.default_rng(0)
    drawn = [_excess(random.choice(values, size=len(values))) for _ in range(_DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    # Where none lies beyond, none does in any draw either; that does not make it certain.
    most = rate_interval(_beyond(values), len(values))[1]
    return _excess(values), (float(low), max(float(high), _in_excess(most)))


def _excess(values: Floats) -> float:
    return _in_excess(_beyond(values) / len(values))


def _in_excess(share: float) -> float:
    return max(0.0, (share - (1 - _BEYOND)) / _BEYOND)


def _beyond(values: Floats) -> int:
    """Parts beyond the 99 % point of the fitted good parts."""
    low, middle, high = np.quantile(values, [_LOW, _MIDDLE, _HIGH])
    limit = middle + _reach(middle - low, high - middle)
    return int((values > limit).sum())


def _reach(below: float, above: float) -> float:
    """How far above the median the 99 % point of the fitted good parts lies."""
    z_low, z_high, z_limit = (float(norm.ppf(q)) for q in (_LOW, _HIGH, _BEYOND))

    def ratio(skew: float) -> float:
        return math.expm1(skew * z_high) / -math.expm1(skew * z_low)

    # Less skewed than a normal distribution is taken for normal.
    if below <= 0 or above / below <= z_high / -z_low:
        return max(above / z_high, below / -z_low) * z_limit
    skew = (
        3.0
        if above / below >= ratio(3.0)
        else float(brentq(lambda s: ratio(s) - above / below, 1e-6, 3.0))
    )
    return above * math.expm1(skew * z_limit) / math.expm1(skew * z_high)

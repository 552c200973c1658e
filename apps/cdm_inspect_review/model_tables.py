"""Tables and charts of models and of what was measured of them; pure functions.

What a file says is put into cells, never into markup.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt

from cdm_inspect.calibration.guarantees import Guarantee
from cdm_inspect.config.units import at_most
from cdm_inspect.config.words import Speech, catalogue
from cdm_inspect.evaluation.compare import EvaluationsCompared
from cdm_inspect.review.line_status import CalibrationFacts, ExportProblem, LineModels, ModelFacts
from cdm_inspect.review.report_index import Report
from cdm_inspect.workflows.pilot.names import endpoint_name
from cdm_inspect_review.charts import BLUE, ORANGE

Word = Callable[..., str]
Row = dict[str, Any]
Zone = dt.tzinfo | None
NOTHING = "–"

_FIGURES = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")
_RATES = {"escape_rate": "escape_interval", "false_reject_rate": "false_reject_interval"}
_LEVELS = ("dsm_train", "dsm_held_out", "overfit", "gap", "curl", "z_squared")
_ARMS = (("on", "off"), ("staged", "off"), ("on", "off-equal-images"))


def at(moment: dt.datetime | None, zone: Zone) -> str:
    """A time of the plant."""
    return NOTHING if moment is None else f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"


def model_facts(model: ModelFacts, word: Word, zone: Zone) -> list[tuple[str, str]]:
    """What the model in force is, name and value."""
    height, width = model.size
    if model.cost_ratio is not None:
        consistency = word("models.on_at", ratio=f"{model.cost_ratio:.2f}")
    else:
        consistency = word("models.on" if model.has_consistency else "models.off")
    facts = {
        "model": model.id,
        "preset": model.preset,
        "size": f"{width} × {height}",
        "trained_at": at(model.trained_at, zone),
        "n_train": _count(model.n_train),
        "n_held_out": _count(model.n_held_out),
        "budget": model.budget or NOTHING,
        "images_seen": _count(model.images_seen),
        "seconds": _number(model.seconds, ",.0f"),
        "loss_held_out": _number(model.loss_held_out, ".4f"),
        "consistency": consistency,
    }
    return [(word(f"models.{name}"), value) for name, value in facts.items()]


def calibration_facts(found: CalibrationFacts, word: Word, zone: Zone) -> list[tuple[str, str]]:
    """What the calibration in force is, name and value."""
    ends = [
        word("models.until", at=at(found.expires_at, zone)) if found.expires_at else "",
        word("models.after", n=f"{found.expires_after:,}") if found.expires_after else "",
        word("models.by_drift") if found.ends_by_drift else "",
    ]
    facts = {
        "version": f"{found.version} ({found.id})",
        "scorer": found.scorer,
        "rule": _rule(found.rule, word),
        "threshold": f"{found.threshold:.4g}",
        "reject_threshold": _number(found.reject_threshold, ".4g", word("models.never")),
        "made_at": at(found.made_at, zone),
        "held_out": f"{found.held_out:,}",
        "expires": " · ".join(filter(None, ends)) or word("models.never"),
        "judged": f"{found.judged:,}",
        "guarantee": promise(found.guarantee, word),
    }
    return [(word(f"models.{name}"), value) for name, value in facts.items()]


def promise(found: Guarantee, word: Word) -> str:
    """What can be claimed of a threshold, and what the rest would take."""
    claims = [
        word(
            "models.claim",
            bound=at_most(found.bound),
            confidence=found.confidence_text,
            parts=found.parts,
            above=found.above,
        )
    ]
    if found.average is not None:
        claims.append(word("models.claim_average", average=at_most(found.average)))
    if not found.is_kept:
        needed = found.parts_needed
        claims.append(word("models.claim_short", asked=f"{found.asked:.2%}", needed=needed))
    return " ".join(claims)


def expiry(found: CalibrationFacts, word: Word, zone: Zone) -> str:
    """Why a calibration is out of date, and what to do."""
    return word(
        f"models.expired_{found.expiry}",
        id=found.id,
        made=at(found.made_at, zone),
        days=_number(found.holds_days, "g"),
        judged=f"{found.judged:,}",
        parts=_count(found.expires_after),
    )


def line_row(found: LineModels, word: Word, zone: Zone) -> Row:
    """A line among all lines."""
    model, calibration = found.model, found.calibration
    return {
        word("line"): found.line,
        word("models.model"): model.id if model else NOTHING,
        word("models.preset"): model.preset if model else found.preset,
        word("models.size"): f"{model.size[1]} × {model.size[0]}" if model else NOTHING,
        word("models.trained_at"): at(model.trained_at if model else None, zone),
        word("models.loss_held_out"): _number(model.loss_held_out if model else None, ".4f"),
        word("models.scorer"): found.scorer,
        word("models.version"): str(calibration.version) if calibration else NOTHING,
        word("models.threshold"): f"{calibration.threshold:.4g}" if calibration else NOTHING,
        word("models.exports"): ", ".join(e.name for e in found.exports) or NOTHING,
        word("models.strays"): ", ".join(s.station or "?" for s in found.strays) or NOTHING,
    }


def version_rows(found: LineModels, word: Word, zone: Zone) -> list[Row]:
    """Every version of the calibration, with who and why."""
    return [
        {
            word("models.version"): version.version,
            word("models.in_force"): "✔" if version.is_in_force else "",
            word("models.made_at"): at(version.made_at, zone),
            word("models.rule"): _rule(version.rule, word),
            word("models.threshold"): version.threshold,
            word("models.reject_threshold"): version.reject_threshold,
            word("models.who"): f"{version.who} ({_role(version.role, word)})"
            if version.who
            else "cdm-inspect calibrate",
            word("models.reason"): version.reason
            if version.is_recorded
            else f"{word('models.unrecorded')} {version.reason}",
            word("models.model"): version.model,
        }
        for version in found.versions
    ]


def export_rows(found: LineModels, word: Word, zone: Zone) -> list[Row]:
    """What was exported, and whether it still fits."""
    return [
        {
            word("models.name"): export.name,
            word("models.runtime"): export.exporter or NOTHING,
            word("models.fits"): _fit(export.fits, export.thresholds_differ, word),
            word("models.model"): export.model or NOTHING,
            word("models.made_at"): _written(export.made_at, zone),
            word("models.why"): ""
            if export.misfit is None
            else word(
                f"models.misfit_{export.misfit}",
                detail=export.problem,
                theirs=export.model
                if export.misfit is ExportProblem.OTHER_MODEL
                else export.calibration,
                ours=found.model.id if found.model else NOTHING,
            ),
        }
        for export in found.exports
    ]


def running_rows(found: LineModels, word: Word, zone: Zone) -> list[Row]:
    """What has judged the newest parts, station by station."""

    def named(which: str, is_in_force: bool) -> str:
        return which if is_in_force else f"✖ {which}"

    return [
        {
            word("models.station"): run.station or NOTHING,
            word("models.model"): named(run.model, run.is_model_in_force),
            word("models.calibration"): named(run.calibration, run.is_calibration_in_force),
            word("models.scorer"): run.scorer,
            word("models.parts"): run.parts,
            word("models.last_at"): at(run.last_at, zone),
            word("models.now"): "✔" if run.is_last else "",
        }
        for run in found.running
    ]


def evaluation_row(report: Report, word: Word, zone: Zone) -> Row:
    """One evaluation in figures, each with its 95 % interval."""
    document = report.document
    return {
        word("models.name"): report.name,
        word("models.scorer"): str(document.get("scorer", NOTHING)),
        word("models.model"): str(document.get("model", NOTHING)),
        word("models.n_good"): document.get("n_good"),
        word("models.n_defective"): document.get("n_defective"),
        **{
            word(f"models.{name}"): _between(document, name, f"{name}_interval", ".3f")
            for name in _FIGURES
        },
        **{
            word(f"models.{name}"): _between(document, name, interval, ".1%")
            for name, interval in _RATES.items()
        },
        word("models.written_at"): at(report.written_at, zone),
    }


def bench_rows(document: Mapping[str, Any], word: Word) -> list[Row]:
    """Detectors side by side."""
    return [
        {
            word("models.scorer"): str(row.get("scorer", NOTHING)),
            word("models.image_AUROC"): _between(row, "image_AUROC", "image_AUROC_interval", ".3f"),
            **{
                word(f"models.{name}"): _between(row, name, interval, ".1%")
                for name, interval in _RATES.items()
            },
            word("models.seconds_per_image"): row.get("seconds_per_image"),
        }
        for row in document.get("rows", [])
    ]


def level_rows(diagnosis: Mapping[str, Any], word: Word) -> list[Row]:
    """A model at each noise level."""
    return [
        {"σ": f"{row['sigma']:g}"}
        | {word(f"models.{name}"): _with_band(row[name]) for name in _LEVELS}
        for row in diagnosis["levels"]
    ]


def drift_rows(diagnosis: Mapping[str, Any], word: Word) -> list[Row]:
    """Restored parts, by noise and steps."""
    return [
        {
            word("models.start"): f"{row['start']:g}",
            word("models.steps"): row["steps"],
            word("models.drift"): _with_band(row["drift"]),
            word("models.returned"): _with_band(row["returned"]),
        }
        for row in diagnosis["drifts"]
    ]


def warnings(diagnosis: Mapping[str, Any], word: Word) -> list[str]:
    """What is to be warned of; of files that tell no kinds, the sentences that they tell."""
    if "concerns" not in diagnosis:
        heading = word("models.concern_other")
        return [f"{heading} {sentence}" for sentence in diagnosis.get("warnings", ())]
    return [
        word(
            f"models.concern_{concern['kind']}",
            sigmas=", ".join(f"{sigma:g}" for sigma in concern["sigmas"]),
        )
        for concern in diagnosis["concerns"]
    ]


def denoising_chart(diagnoses: Sequence[Mapping[str, Any]], word: Word) -> alt.LayerChart:
    """Error of denoising by noise level, on parts that were trained on and on held-out ones."""
    names = {"dsm_train": word("models.dsm_train"), "dsm_held_out": word("models.dsm_held_out")}
    rows = [
        {
            "sigma": row["sigma"],
            "error": row[key]["value"],
            "low": row[key]["low"],
            "high": row[key]["high"],
            "which": name,
            "model": str(diagnosis["model"]),
        }
        for diagnosis in diagnoses
        for row in diagnosis["levels"]
        for key, name in names.items()
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("sigma:Q", title=word("models.sigma"), scale=alt.Scale(type="log")),
        color=alt.Color(
            "which:N",
            title=None,
            scale=alt.Scale(domain=list(names.values()), range=[BLUE, ORANGE]),
            legend=alt.Legend(orient="top", labelLimit=0),
        ),
        strokeDash=alt.StrokeDash("which:N", legend=None),
        detail="model:N",
    )
    lines = base.mark_line(point=True).encode(
        y=alt.Y("error:Q", title=word("models.error"), scale=alt.Scale(zero=False)),
        tooltip=[
            alt.Tooltip("model:N", title=word("models.model")),
            alt.Tooltip("which:N", title=word("models.parts_of")),
            alt.Tooltip("sigma:Q", title=word("models.sigma")),
            alt.Tooltip("error:Q", title=word("models.error"), format=".4f"),
        ],
    )
    bars = base.mark_rule().encode(y="low:Q", y2="high:Q", strokeDash=alt.value([1, 0]))
    worst = max(
        (row["overfit"]["value"] or 0.0 for found in diagnoses for row in found["levels"]),
        default=0.0,
    )
    described = word("models.denoising_told", ratio=f"{worst:.2f}")
    return (lines + bars).properties(height=260, description=described)


def pilot_rows(document: Mapping[str, Any], language: str) -> list[Row]:
    """Differences of a pilot over its seeds, with intervals."""
    found = {(c["endpoint"], c["arm"], c["reference"]): c for c in document["comparisons"]}
    rows = []
    for endpoint in dict.fromkeys(c["endpoint"] for c in document["comparisons"]):
        row = {Speech(language, "page_pilot.")("measure"): endpoint_name(endpoint, language)}
        for arm, reference in _ARMS:
            comparison = found.get((endpoint, arm, reference))
            row[f"{arm} − {reference}"] = (
                NOTHING
                if comparison is None
                else _interval(
                    comparison["difference"], comparison["low"], comparison["high"], "+.3g"
                )
            )
        rows.append(row)
    return rows


def pilot_sentence(document: Mapping[str, Any], language: str) -> str:
    """The answer of a pilot, in words."""
    verdict = document["verdict"]
    named = endpoint_name(verdict["endpoint"], language)
    return Speech(language, "page_pilot.")(f"rule_{verdict['rule']}", endpoint=named)


def comparison_rows(found: EvaluationsCompared, word: Word) -> list[Row]:
    """Paired figures of two evaluations."""
    rows = {
        "escape_rate": (found.escapes, ".1%", -1),
        "false_reject_rate": (found.false_rejects, ".1%", -1),
        "image_AUROC": (found.image_auroc, ".3f", 1),
    }
    return [
        {
            word("models.measure"): word(f"models.{name}"),
            word("models.first"): format(pair.ours, form),
            word("models.second"): format(pair.theirs, form),
            word("models.difference"): _interval(pair.difference, pair.low, pair.high, f"+{form}"),
            word("models.p_value"): _number(pair.p_value, ".3f"),
            word("models.reading"): word(f"models.{_reading(pair, better)}"),
        }
        for name, (pair, form, better) in rows.items()
        if pair is not None
    ]


def _reading(pair: Any, better: int) -> str:
    if pair.low is None or pair.high is None or pair.low <= 0 <= pair.high:
        return "unclear"
    return "better" if pair.difference * better > 0 else "worse"


def _written(text: str, zone: Zone) -> str:
    """A time of a file; as it is, where it is none."""
    try:
        return at(dt.datetime.fromisoformat(text), zone)
    except (ValueError, OverflowError):
        return text or NOTHING


def _rule(rule: str, word: Word) -> str:
    """By what thresholds were set; as the record has it, where that is no rule of this program."""
    key = f"models.rule_{rule.replace(' ', '-')}"
    return word(key) if key in catalogue() else rule


def _role(role: str, word: Word) -> str:
    key = f"role.{role}"
    return word(key) if key in catalogue() else role


def _fit(fits: bool, differs: bool, word: Word) -> str:
    if not fits:
        return f"✖ {word('models.fits_not')}"
    return f"✔ {word('models.other_thresholds' if differs else 'models.fits_yes')}"


def _with_band(estimate: Mapping[str, float | None]) -> str:
    return _interval(estimate["value"], estimate["low"], estimate["high"], ".3g")


def _between(row: Mapping[str, Any], name: str, interval: str, form: str) -> str:
    low, high = row.get(interval) or (None, None)
    return _interval(row.get(name), low, high, form)


def _interval(value: float | None, low: float | None, high: float | None, form: str) -> str:
    if value is None:
        return NOTHING
    text = format(value, form)
    return text if low is None or high is None else f"{text} ({low:{form}} – {high:{form}})"


def _number(value: float | None, form: str, nothing: str = NOTHING) -> str:
    return nothing if value is None else format(value, form)


def _count(value: int | None) -> str:
    return _number(value, ",")

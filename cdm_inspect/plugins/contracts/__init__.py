"""What a plugin promises and what it offers; loads without torch."""

from cdm_inspect.plugins.contracts.commands import CommandHost, CommandOffer
from cdm_inspect.plugins.contracts.datasets import GOOD, DatasetPart, ReaderOffer
from cdm_inspect.plugins.contracts.exporters import (
    ExportedGraph,
    Exporter,
    ExporterOffer,
    GraphOutputs,
)
from cdm_inspect.plugins.contracts.options import CONTRACT, Options
from cdm_inspect.plugins.contracts.review_pages import PageOffer, PageView
from cdm_inspect.plugins.contracts.scorers import (
    DamagedParts,
    Denoiser,
    FittedScorer,
    Posterior,
    RegionalScorer,
    ScaledScorer,
    ScoreBatch,
    Scorer,
    ScorerOffer,
    TrainedScorer,
    TunedScorer,
)
from cdm_inspect.plugins.contracts.stores import (
    InspectionReader,
    SinkOffer,
    StoreOffer,
    VerdictSink,
    VerdictStore,
)
from cdm_inspect.plugins.contracts.upkeep import (
    AuditEntry,
    ChainState,
    Copied,
    Pruned,
    StoreAnchors,
    StoreSchema,
    StoreUpkeep,
)

Offer = (
    ScorerOffer | ExporterOffer | StoreOffer | SinkOffer | PageOffer | CommandOffer | ReaderOffer
)
"""Anything that a plugin can offer."""

__all__ = [
    "CONTRACT",
    "GOOD",
    "AuditEntry",
    "ChainState",
    "CommandHost",
    "CommandOffer",
    "Copied",
    "DamagedParts",
    "DatasetPart",
    "Denoiser",
    "ExportedGraph",
    "Exporter",
    "ExporterOffer",
    "FittedScorer",
    "GraphOutputs",
    "InspectionReader",
    "Offer",
    "Options",
    "PageOffer",
    "PageView",
    "Posterior",
    "Pruned",
    "ReaderOffer",
    "RegionalScorer",
    "ScaledScorer",
    "ScoreBatch",
    "Scorer",
    "ScorerOffer",
    "SinkOffer",
    "StoreAnchors",
    "StoreOffer",
    "StoreSchema",
    "StoreUpkeep",
    "TrainedScorer",
    "TunedScorer",
    "VerdictSink",
    "VerdictStore",
]

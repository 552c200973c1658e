"""Hooks for plugins, what they promise and offer, and the registry that loads them.

Authors of plugins import from here: `from cdm_inspect.plugins import ScorerOffer, hookimpl`.
"""

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
from cdm_inspect.plugins.hooks import (
    PROJECT,
    Hooks,
    hookimpl,
    hookspec,
)
from cdm_inspect.plugins.offers import Offer, PluginRow
from cdm_inspect.plugins.registry import (
    Registry,
    build_options,
)

__all__ = [
    "CONTRACT",
    "GOOD",
    "PROJECT",
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
    "Hooks",
    "InspectionReader",
    "Offer",
    "Options",
    "PageOffer",
    "PageView",
    "PluginRow",
    "Posterior",
    "Pruned",
    "ReaderOffer",
    "RegionalScorer",
    "Registry",
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
    "build_options",
    "hookimpl",
    "hookspec",
]

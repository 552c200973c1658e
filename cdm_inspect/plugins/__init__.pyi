from .contracts.commands import (
    CommandHost as CommandHost,
    CommandOffer as CommandOffer,
)
from .contracts.datasets import (
    GOOD as GOOD,
    DatasetPart as DatasetPart,
    ReaderOffer as ReaderOffer,
)
from .contracts.exporters import (
    ExportedGraph as ExportedGraph,
    Exporter as Exporter,
    ExporterOffer as ExporterOffer,
    GraphOutputs as GraphOutputs,
)
from .contracts.options import (
    CONTRACT as CONTRACT,
    Options as Options,
)
from .contracts.review_pages import (
    PageOffer as PageOffer,
    PageView as PageView,
)
from .contracts.scorers import (
    DamagedParts as DamagedParts,
    Denoiser as Denoiser,
    FittedScorer as FittedScorer,
    Posterior as Posterior,
    RegionalScorer as RegionalScorer,
    ScaledScorer as ScaledScorer,
    ScoreBatch as ScoreBatch,
    Scorer as Scorer,
    ScorerOffer as ScorerOffer,
    TrainedScorer as TrainedScorer,
    TunedScorer as TunedScorer,
)
from .contracts.stores import (
    InspectionReader as InspectionReader,
    SinkOffer as SinkOffer,
    StoreOffer as StoreOffer,
    VerdictSink as VerdictSink,
    VerdictStore as VerdictStore,
)
from .contracts.upkeep import (
    AuditEntry as AuditEntry,
    ChainState as ChainState,
    Copied as Copied,
    Pruned as Pruned,
    StoreAnchors as StoreAnchors,
    StoreSchema as StoreSchema,
    StoreUpkeep as StoreUpkeep,
)
from .hooks import (
    PROJECT as PROJECT,
    Hooks as Hooks,
    hookimpl as hookimpl,
    hookspec as hookspec,
)
from .offers import (
    Offer as Offer,
    PluginRow as PluginRow,
)
from .registry import (
    Registry as Registry,
    build_options as build_options,
)

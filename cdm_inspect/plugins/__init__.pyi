from .contracts.commands import (
    CommandHost as CommandHost,
)
from .contracts.commands import (
    CommandOffer as CommandOffer,
)
from .contracts.datasets import (
    GOOD as GOOD,
)
from .contracts.datasets import (
    DatasetPart as DatasetPart,
)
from .contracts.datasets import (
    ReaderOffer as ReaderOffer,
)
from .contracts.exporters import (
    ExportedGraph as ExportedGraph,
)
from .contracts.exporters import (
    Exporter as Exporter,
)
from .contracts.exporters import (
    ExporterOffer as ExporterOffer,
)
from .contracts.exporters import (
    GraphOutputs as GraphOutputs,
)
from .contracts.options import (
    CONTRACT as CONTRACT,
)
from .contracts.options import (
    Options as Options,
)
from .contracts.review_pages import (
    PageOffer as PageOffer,
)
from .contracts.review_pages import (
    PageView as PageView,
)
from .contracts.scorers import (
    DamagedParts as DamagedParts,
)
from .contracts.scorers import (
    Denoiser as Denoiser,
)
from .contracts.scorers import (
    FittedScorer as FittedScorer,
)
from .contracts.scorers import (
    Posterior as Posterior,
)
from .contracts.scorers import (
    RegionalScorer as RegionalScorer,
)
from .contracts.scorers import (
    ScaledScorer as ScaledScorer,
)
from .contracts.scorers import (
    ScoreBatch as ScoreBatch,
)
from .contracts.scorers import (
    Scorer as Scorer,
)
from .contracts.scorers import (
    ScorerOffer as ScorerOffer,
)
from .contracts.scorers import (
    TrainedScorer as TrainedScorer,
)
from .contracts.scorers import (
    TunedScorer as TunedScorer,
)
from .contracts.stores import (
    InspectionReader as InspectionReader,
)
from .contracts.stores import (
    SinkOffer as SinkOffer,
)
from .contracts.stores import (
    StoreOffer as StoreOffer,
)
from .contracts.stores import (
    VerdictSink as VerdictSink,
)
from .contracts.stores import (
    VerdictStore as VerdictStore,
)
from .contracts.upkeep import (
    AuditEntry as AuditEntry,
)
from .contracts.upkeep import (
    ChainState as ChainState,
)
from .contracts.upkeep import (
    Copied as Copied,
)
from .contracts.upkeep import (
    Pruned as Pruned,
)
from .contracts.upkeep import (
    StoreAnchors as StoreAnchors,
)
from .contracts.upkeep import (
    StoreSchema as StoreSchema,
)
from .contracts.upkeep import (
    StoreUpkeep as StoreUpkeep,
)
from .hooks import (
    PROJECT as PROJECT,
)
from .hooks import (
    Hooks as Hooks,
)
from .hooks import (
    hookimpl as hookimpl,
)
from .hooks import (
    hookspec as hookspec,
)
from .offers import (
    Offer as Offer,
)
from .offers import (
    PluginRow as PluginRow,
)
from .registry import (
    Registry as Registry,
)
from .registry import (
    build_options as build_options,
)

"""What a project file may say, checked, and every text of the product in two languages."""

from cdm_inspect.config.line import (
    AugmentationConfig,
    ConservativityConfig,
    ConsistencyConfig,
    CostsConfig,
    ExpiryConfig,
    IdentityConfig,
    ImagesConfig,
    LineConfig,
    TrainingConfig,
)
from cdm_inspect.config.project import (
    PROJECT_FILE,
    PluginsConfig,
    ProjectConfig,
    RetentionConfig,
    SinkConfig,
    StoreConfig,
)
from cdm_inspect.config.reading import load_project, mistakes
from cdm_inspect.config.review import LineReviewConfig, OidcConfig, ReviewConfig

__all__ = [
    "PROJECT_FILE",
    "AugmentationConfig",
    "ConservativityConfig",
    "ConsistencyConfig",
    "CostsConfig",
    "ExpiryConfig",
    "IdentityConfig",
    "ImagesConfig",
    "LineConfig",
    "LineReviewConfig",
    "OidcConfig",
    "PluginsConfig",
    "ProjectConfig",
    "RetentionConfig",
    "ReviewConfig",
    "SinkConfig",
    "StoreConfig",
    "TrainingConfig",
    "load_project",
    "mistakes",
]

from .line import (
    AugmentationConfig as AugmentationConfig,
    ConservativityConfig as ConservativityConfig,
    ConsistencyConfig as ConsistencyConfig,
    CostsConfig as CostsConfig,
    ExpiryConfig as ExpiryConfig,
    IdentityConfig as IdentityConfig,
    ImagesConfig as ImagesConfig,
    LineConfig as LineConfig,
    TrainingConfig as TrainingConfig,
)
from .plugins import (
    PluginsConfig as PluginsConfig,
    load_plugins_table as load_plugins_table,
)
from .project import (
    ProjectConfig as ProjectConfig,
    RetentionConfig as RetentionConfig,
    SinkConfig as SinkConfig,
    StoreConfig as StoreConfig,
)
from .reading import (
    load_project as load_project,
)
from .review import (
    LineReviewConfig as LineReviewConfig,
    OidcConfig as OidcConfig,
    ReviewConfig as ReviewConfig,
)
from .sections import (
    PROJECT_FILE as PROJECT_FILE,
    mistakes as mistakes,
)

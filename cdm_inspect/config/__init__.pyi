from .line import (
    AugmentationConfig as AugmentationConfig,
)
from .line import (
    ConservativityConfig as ConservativityConfig,
)
from .line import (
    ConsistencyConfig as ConsistencyConfig,
)
from .line import (
    CostsConfig as CostsConfig,
)
from .line import (
    ExpiryConfig as ExpiryConfig,
)
from .line import (
    IdentityConfig as IdentityConfig,
)
from .line import (
    ImagesConfig as ImagesConfig,
)
from .line import (
    LineConfig as LineConfig,
)
from .line import (
    TrainingConfig as TrainingConfig,
)
from .plugins import (
    PluginsConfig as PluginsConfig,
)
from .plugins import (
    load_plugins_table as load_plugins_table,
)
from .project import (
    ProjectConfig as ProjectConfig,
)
from .project import (
    RetentionConfig as RetentionConfig,
)
from .project import (
    SinkConfig as SinkConfig,
)
from .project import (
    StoreConfig as StoreConfig,
)
from .reading import (
    load_project as load_project,
)
from .review import (
    LineReviewConfig as LineReviewConfig,
)
from .review import (
    OidcConfig as OidcConfig,
)
from .review import (
    ReviewConfig as ReviewConfig,
)
from .sections import (
    PROJECT_FILE as PROJECT_FILE,
)
from .sections import (
    mistakes as mistakes,
)

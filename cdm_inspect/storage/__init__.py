"""The built-in store."""

from cdm_inspect.storage.files import FileStore
from cdm_inspect.storage.sql import SqlStore, inspection_key
from cdm_inspect.storage.versions import upgrade_database

__all__ = ["FileStore", "SqlStore", "inspection_key", "upgrade_database"]

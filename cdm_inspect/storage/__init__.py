"""The built-in store."""

from cdm_inspect.storage.files import FileStore
from cdm_inspect.storage.sql import SqlStore, inspection_key

__all__ = ["FileStore", "SqlStore", "inspection_key"]

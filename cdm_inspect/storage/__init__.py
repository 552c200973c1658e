"""The built-in store: SQL tables, files by digest, audit chain, queue, retention, backup."""

from cdm_inspect.storage.rows import inspection_key
from cdm_inspect.storage.sql import SqlStore
from cdm_inspect.storage.upkeep import SqlUpkeep

__all__ = ["SqlStore", "SqlUpkeep", "inspection_key"]

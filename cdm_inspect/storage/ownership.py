"""Whose files lie at an address: those of a store that was lost may still be wanted."""

from __future__ import annotations

from sqlalchemy import select

from cdm_inspect.errors import StorageError
from cdm_inspect.storage.engine import Database
from cdm_inspect.storage.files import FileStore
from cdm_inspect.storage.schema import NoteRow

_STORE_ID = "store_id"
_FILE = "store-id"


def own_files(database: Database, files: FileStore) -> None:
    """Note beside the files whose they are, unless that is noted already.

    Raises:
        StorageError: if it cannot be written.
    """
    if not files.read_note(_FILE):
        files.write_note(_FILE, _store_id(database))


def refuse_files_of_others(database: Database, files: FileStore) -> None:
    """See that no other store may have parts that name these files.

    Raises:
        StorageError: if one may.
    """
    own = _store_id(database)
    if files.read_note(_FILE).strip() != own:
        raise StorageError(
            f"the files at {files.where} belong to another store, or nobody knows whose they are: "
            f"none was removed. If no other store needs them, write {own} into the file {_FILE} "
            "there; what no part of this store names will then go."
        )


def _store_id(database: Database) -> str:
    with database.reading() as session:
        return session.scalars(select(NoteRow.value).where(NoteRow.name == _STORE_ID)).one()

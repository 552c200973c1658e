"""Whose files lie at an address: those of another store may be wanted, now or once it is found."""

from __future__ import annotations

import uuid

from sqlalchemy import select, update

from cdm_inspect.errors import StorageError
from cdm_inspect.storage.engine import Database
from cdm_inspect.storage.files import FileStore
from cdm_inspect.storage.schema import NoteRow

_STORE_ID = "store_id"
_FILE = "store-id"


def own_files(database: Database, files: FileStore, *, are_sure: bool = False) -> None:
    """Note beside the files whose they are, if that is noted of nobody or nothing is there.

    Args:
        are_sure: that those which are there, and of which nobody knows whose they are, are its own.

    Raises:
        StorageError: if it cannot be written.
    """
    if files.is_empty() or (are_sure and not are_claimed(files)):
        claim_files(database, files)


def claim_files(database: Database, files: FileStore) -> None:
    """Note beside the files whose they are, whatever was noted.

    Raises:
        StorageError: if it cannot be written.
    """
    files.write_note(_FILE, _store_id(database))


def are_claimed(files: FileStore) -> bool:
    """Whether a store has noted that they are its own."""
    return bool(files.read_note(_FILE).strip())


def rename_store(database: Database) -> None:
    """Give a store an identity of its own: what was restored is not the one that was backed up."""
    with database.writing() as session:
        named = update(NoteRow).where(NoteRow.name == _STORE_ID)
        session.execute(named.values(value=uuid.uuid4().hex))


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

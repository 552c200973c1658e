"""Where Alembic runs: on the connection, and in the transaction, that the store gives it."""

from alembic import context

from cdm_inspect.storage.schema import VERSION_TABLE, Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    # SQLite cannot change a column; batches copy the table.
    render_as_batch=True,
)
context.run_migrations()

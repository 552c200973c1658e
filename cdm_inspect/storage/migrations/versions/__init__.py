"""Changes of the schema from version to version; run by Alembic."""

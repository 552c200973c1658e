"""How photographs were taken, and where the control charts stand."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """From the first schema, which counted its version in a table of its own."""
    op.add_column(
        "inspection", sa.Column("acquisition", sa.JSON, nullable=False, server_default="{}")
    )
    op.create_table(
        "chart",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("state", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_chart"),
    )
    op.execute("DROP TABLE IF EXISTS cdm_inspect_schema")

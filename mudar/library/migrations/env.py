"""Alembic's entry point: runs on the connection, and in the transaction, that `db.migrate` hands over."""

from __future__ import annotations

from alembic import context

from mudar.library.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,  # true of both databases; Alembic doubts SQLite
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()

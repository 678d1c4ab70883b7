"""Alembic's entry: runs on the connection that `bootstrap` hands over, which holds the migration lock."""

from alembic import context

from controlplane.persistence.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=metadata, transactional_ddl=True, transaction_per_migration=True
)
with context.begin_transaction():
    context.run_migrations()

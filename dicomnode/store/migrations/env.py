"""Alembic's entry point: runs the migrations on the connection handed over by ``Store.migrate``."""

from alembic import context

from dicomnode.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()

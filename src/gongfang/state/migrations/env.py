"""Alembic's entry: it is handed a connection by `gongfang.state.migrate`, never an address."""

from alembic import context

from gongfang.state.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()

"""Run by Alembic, on the connection and in the transaction that `Store.migrate` opened."""

from alembic import context

from workers.jobs.database.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()

"""What Alembic runs: the connection is handed in by `flowdsl_sql.schema`; without one, the statements are written out."""

from __future__ import annotations

from alembic import context

from flowdsl_sql.tables import VERSION_TABLE, metadata_for

config = context.config
connection = config.attributes.get("connection")
if connection is None:
    context.configure(
        dialect_name=config.attributes["dialect"],
        dialect_opts=config.attributes.get("dialect_options", {}),
        output_buffer=config.attributes["buffer"],
        as_sql=True,
        literal_binds=True,
        version_table=VERSION_TABLE,
    )
else:
    context.configure(
        connection=connection,
        target_metadata=metadata_for(connection.dialect.name),
        version_table=VERSION_TABLE,
        version_table_pk=True,
    )
with context.begin_transaction():
    context.run_migrations()

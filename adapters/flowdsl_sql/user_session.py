"""The session that users write with: SQLAlchemy's, but for ending its transaction."""

from __future__ import annotations

from typing import NoReturn

from sqlalchemy import Connection, orm

from flowdsl.errors import ConfigurationError


class UserSession(orm.Session):
    """Its transaction is the engine's: it is committed with the run's transition, and undone when the step fails."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(bind=connection, expire_on_commit=False)

    def commit(self) -> NoReturn:
        raise ConfigurationError(
            "this session commits with the transition of its run.", remedy="Return from the step instead of calling commit()."
        )

    def rollback(self) -> NoReturn:
        raise ConfigurationError(
            "this session is undone when the step fails.", remedy="Raise instead of calling rollback(), or use begin_nested()."
        )

    def release(self) -> None:
        """Let go of everything; what was not committed is undone by the connection's owner."""
        super().close()

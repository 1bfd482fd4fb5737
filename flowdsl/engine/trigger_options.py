"""What a trigger may be told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Generic, Protocol, TypedDict, TypeVar

from flowdsl.engine.unknown_option import refuse_unknown_options
from flowdsl.errors import ConfigurationError

StatusT = TypeVar("StatusT", bound=Enum)


class OwnSession(Protocol):
    """An SQLAlchemy Session, or a scoped_session."""

    def commit(self) -> None: ...
    def rollback(self) -> None: ...


class OwnAsyncSession(Protocol):
    """An SQLAlchemy AsyncSession, or an async_scoped_session."""

    @property
    def run_sync(self) -> Callable[..., Awaitable[Any]]: ...


class ManyOptions(TypedDict, Generic[StatusT], total=False):
    """What `trigger_many` may be told about all runs. All may be left out."""

    start_status: StatusT | None
    """Where the run begins; left out: the workflow's first starting status."""
    metadata: Mapping[str, str] | None
    tags: Sequence[str]
    parent_run_id: str | None
    priority: int
    """Higher is worked on first."""
    actor: str | None
    """Who starts it, for the history; left out: the user of this process."""


class StartOptions(ManyOptions[StatusT], Generic[StatusT], total=False):
    """What a trigger may be told beside foreign id and object. All may be left out."""

    idempotency_key: str | None
    """A second trigger of the workflow with this key starts nothing and answers with the first one's run."""


class TriggerOptions(StartOptions[StatusT], Generic[StatusT], total=False):
    """The same, and within whose transaction."""

    session: OwnSession | None
    """Your own SQLAlchemy Session on the store's database: the run is stored when that commits, or not at all."""


class AioTriggerOptions(StartOptions[StatusT], Generic[StatusT], total=False):
    """The same for `engine.aio.trigger`."""

    session: OwnAsyncSession | OwnSession | None
    """Your own SQLAlchemy AsyncSession on the store's database, over psycopg, asyncpg or aiosqlite, or a Session that no other
    thread uses meanwhile: the run is stored when that commits, or not at all."""


OPTIONS = tuple(TriggerOptions.__annotations__)


def check_options(options: Mapping[str, object]) -> None:
    """Raises ConfigurationError for an option that there is not, or tags that are one text."""
    refuse_unknown_options(options, OPTIONS, "a trigger")
    if isinstance(options.get("tags"), str):
        raise ConfigurationError("tags= is one text.", remedy="Give a list, e.g. tags=['urgent'].")

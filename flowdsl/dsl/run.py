"""The typed view of a run that a step is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from flowdsl.dsl.extras import EventIntent, Extras, StartIntent
from flowdsl.dsl.payload_bytes import payload_bytes
from flowdsl.errors import ConfigurationError, PayloadTooLargeError
from flowdsl.model.failure import Failure
from flowdsl.model.limits import MAX_EVENT
from flowdsl.model.outcome import Outcome, OutcomeKind
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState

ObjectT = TypeVar("ObjectT")
StatusT = TypeVar("StatusT", bound=Enum)


class Run(Generic[ObjectT, StatusT]):
    """One attempt at one step of one run. Change `object` in place or assign a new one; it is stored with the step's answer
    (with `skip` and with an error it is not)."""

    __slots__ = {  # with what help() says of each
        "_task": "",
        "attempt": "1 at the first execution of this step for this version of the run, one more after each failure.",
        "extras": "The engine's: what the methods below collected, to be stored with the transition.",
        "failure": "For on_error hooks, what failed; for on_pause hooks, what failed last if errors paused the run. Else None.",
        "made": "The engine's: the last outcome made by one of the methods below, which has to be what the step returns.",
        "object": "The run's object, decoded for this attempt alone.",
        "record": "The run as the store has it, the object as bytes.",
        "status": "The member of the workflow's statuses that the run is in.",
    }

    object: ObjectT
    status: StatusT
    record: RunRecord
    attempt: int
    made: Outcome | None
    failure: Failure | None

    def __init__(
        self,
        record: RunRecord,
        obj: ObjectT,
        status: StatusT,
        attempt: int = 1,
        task: str = "",
        failure: Failure | None = None,
        extras: Extras | None = None,
    ) -> None:
        self.record = record
        self._task = task
        self.extras = extras or Extras()
        self.failure = failure
        self.object = obj
        self.status = status
        self.attempt = attempt
        self.made = None

    @property
    def workflow(self) -> str:
        """The workflow's name."""
        return self.record.workflow

    @property
    def run_id(self) -> str:
        """The run's own id: another one for each run."""
        return self.record.run_id

    @property
    def foreign_id(self) -> str:
        """Your id of what the run is about."""
        return self.record.foreign_id

    @property
    def state(self) -> RunState:
        """Whether it runs, is paused, has ended and so on."""
        return self.record.state

    @property
    def reason(self) -> str | None:
        """Why it was paused or cancelled; None: it was not."""
        return self.record.reason

    @property
    def actor(self) -> str | None:
        """Who paused or cancelled it; None: nobody, or a function of the workflow."""
        return self.record.actor

    @property
    def version(self) -> int:
        """One more with every stored change of the run."""
        return self.record.version

    @property
    def created_at(self) -> datetime:
        """When the run was started, by the store's clock."""
        return self.record.created_at

    @property
    def updated_at(self) -> datetime:
        """When it changed last, by the store's clock."""
        return self.record.updated_at

    @property
    def metadata(self) -> Mapping[str, str]:
        """What was given with the trigger, to be read only."""
        return MappingProxyType(self.record.metadata)  # what a step wrote here would reach some later steps and not others

    @property
    def idempotency_key(self) -> str:
        """The same text for every execution of this piece of work, whatever failed, was paused or was resumed in between: hand
        it to whatever must not happen twice (a payment, an e-mail). A transition and a repeat begin a new piece of work; each
        timeout, each callback and each thing that a hook is told of is one of its own."""
        return f"{self.record.run_id}:{self._task or self.record.task_version}"

    @property
    def session(self) -> Any:
        """An SQLAlchemy Session on the store's database: what you write with it is stored in the transaction of this step's
        transition, or not at all. Opened at first use; `def` functions only, on PostgreSQL and MariaDB. Raises
        ConfigurationError elsewhere; `in_transaction` is for all SQL stores."""
        return self.extras.session()

    def in_transaction(self, write: Callable[[Any], Any]) -> None:
        """Call `write(session)` when the transition is stored, in its transaction. It may be called again when that is repeated;
        what it raises fails the attempt. For any SQL store and for `async def` functions, too."""
        self.extras.writes.append(write)

    def publish(self, topic: str, payload: Any, headers: Mapping[str, str] | None = None) -> None:
        """Publish an event of yours to the streamer, at least once, if and only if the transition is stored. In: bytes, or
        anything that JSON has a form for, at most 512 KiB. `engine.subscribe` reads it. Raises ConfigurationError without a
        streamer, PayloadError."""
        extras = self.extras
        if extras.refuse_events is not None:
            raise ConfigurationError(
                extras.refuse_events, remedy="Give the engine a streamer: Engine.from_url(..., streamer=...)."
            )
        body = payload_bytes(payload)
        if len(body) > MAX_EVENT:
            raise PayloadTooLargeError(
                f"the event has {len(body):,} bytes; the limit is {MAX_EVENT:,}.",
                remedy="Store large data elsewhere and publish its address.",
            )
        extras.events.append(EventIntent(topic, body, dict(headers or {})))

    def trigger(self, workflow: Any, foreign_id: str, obj: Any = None, **options: Any) -> None:
        """Start a run of another workflow of this engine, or of this one, in the same commit as the transition. Options as for
        engine.trigger; the parent is this run. When the foreign id has an unfinished run the attempt fails, unless an
        `idempotency_key` says that it is the one."""
        self.extras.starts.append(StartIntent(workflow, foreign_id, obj, options))

    def pause(self, reason: str) -> Outcome:
        """Return it to store the object and pause the run in its status."""
        return self._make(OutcomeKind.PAUSE, reason)

    def cancel(self, reason: str) -> Outcome:
        """Return it to store the object and cancel the run."""
        return self._make(OutcomeKind.CANCEL, reason)

    def skip(self) -> Outcome:
        """Return it to leave the run as it was, object included: something else will move it."""
        return self._make(OutcomeKind.SKIP, "")

    def save_and_repeat(self) -> Outcome:
        """Return it to store the object and run this step again, behind the work that waits already."""
        return self._make(OutcomeKind.REPEAT, "")

    def _make(self, kind: OutcomeKind, reason: str) -> Outcome:
        self.made = Outcome(kind, reason)
        return self.made

    def __repr__(self) -> str:  # never the object: it may hold what logs must not
        r = self.record
        return f"<Run {r.workflow} {r.foreign_id!r} {r.run_id} status={r.status} version={r.version}>"

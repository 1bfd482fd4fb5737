"""The engine: the one object that users hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Any, TypeVar, Unpack

from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.aio import AioEngine
from flowdsl.engine.bulk import Bulk
from flowdsl.engine.callback_replayer import CallbackReplayer
from flowdsl.engine.callbacks import CallbackOptions, Callbacks
from flowdsl.engine.connector_processes import ConnectorProcesses, ConnectorReplayer
from flowdsl.engine.core import Core
from flowdsl.engine.dead_letters import DeadLetters, Replayer
from flowdsl.engine.event_calls import EventCalls
from flowdsl.engine.fleet import look_at_fleet
from flowdsl.engine.handle import RunHandle
from flowdsl.engine.hook_replay import HookReplay, HookReplayer, PastEvents
from flowdsl.engine.life import EngineLife
from flowdsl.engine.loop_guard import refuse_on_loop
from flowdsl.engine.migrations import Migrations
from flowdsl.engine.schedules import Schedules
from flowdsl.engine.starter import Started, Starter
from flowdsl.engine.subscription import Subscription
from flowdsl.engine.trigger_options import ManyOptions, TriggerOptions
from flowdsl.errors import ConfigurationError, RunNotFoundError
from flowdsl.model.callback_result import CallbackResult
from flowdsl.model.dead_letter import LetterOrigin
from flowdsl.model.fleet import Fleet
from flowdsl.model.query import Cursor, Order, Page, RunQuery
from flowdsl.model.run_state import RunState
from flowdsl.ports.event_streamer import StartFrom

ObjectT = TypeVar("ObjectT")
StatusT = TypeVar("StatusT", bound=Enum)


class Engine(EngineLife):
    """Runs workflows, and is how a program triggers, asks and controls them.

    `with engine:` (or `start` and `stop`) makes it work on runs; without that, and with `Engine.client`, it only triggers, lists
    and controls, and other processes do the work. Nothing is connected before the first use. Safe for any number of threads.

    In: the workflows; `store`, `roles` and `streamer`, ready or as functions that open them at first use (`Engine.from_url` makes
    those); without a streamer consumers look into the store. Settings, see EngineSettings: `sources` of connectors by name, in
    place of declared ones; `registry` for metrics (default: one of its own, at `engine.metrics.registry`); `namespace` to keep
    fleets on one database apart; `handoff=False` to send every row through the store; `auto_resume` for runs that errors paused;
    `drain`, how long a stop waits for running steps; `beat` and `lapse` of the heartbeat, `lease` of roles. `clock`, `ids` and
    `rng` are for tests. Raises ConfigurationError for any other, and for workflows that cannot go together.
    """

    @cached_property
    def aio(self) -> AioEngine:
        """The same verbs as coroutines."""
        return AioEngine(self)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """What was given up: list, get, replay, drop."""
        replayers: dict[str, Replayer] = {
            LetterOrigin.CONNECTOR: ConnectorReplayer(self),
            LetterOrigin.CALLBACK: CallbackReplayer(self._the_core),
            LetterOrigin.HOOK: HookReplayer(self._the_core),
        }
        return DeadLetters(self._the_core, replayers)

    @cached_property
    def bulk(self) -> Bulk:
        """Verbs on many runs at once."""
        return Bulk(self._the_core)

    @cached_property
    def migrations(self) -> Migrations:
        """What takes runs out of statuses that are no more."""
        return Migrations(self._the_core)

    @cached_property
    def schedules(self) -> Schedules:
        """What starts runs by the calendar: list, create, pause, resume, trigger, preview, delete."""
        return Schedules(self._the_core)

    def subscribe(self, name: str, topics: Iterable[str], start: StartFrom = StartFrom.OLDEST) -> Subscription:
        """Read events that steps published with `run.publish`, under a name whose readers share them. `start` matters the first
        time. Close it, or use it in a `with`. Raises ConfigurationError without a streamer, StreamerError."""
        core = self._the_core()
        if self._streamer is None:
            raise ConfigurationError("this engine has no streamer to read from.", remedy="Pass streamer=.")
        return Subscription(self._streamer, core.namespace, name, list(topics), start)

    # -- verbs ----------------------------------------------------------------------------------------------------------------

    def trigger(
        self,
        workflow: Workflow[ObjectT, StatusT],
        foreign_id: str,
        obj: ObjectT | None = None,
        **options: Unpack[TriggerOptions[StatusT]],
    ) -> RunHandle[ObjectT, StatusT]:
        """Start a run for your object `foreign_id`; it is stored when this returns.

        Options: `start_status` (default: the first starting status), `idempotency_key` (a second trigger with it answers with
        the first one's run), `metadata`, `tags`, `parent_run_id`, `priority` (higher first), `actor` (default: the user of this
        process), `session` (your own SQLAlchemy Session on the store's database: the run is stored when that commits, or not at
        all). Raises ConfigurationError for any other, WorkflowInProgressError when the foreign id has an unfinished run,
        PayloadError for an object that cannot be stored, BadDataError, StoreError.
        """
        refuse_on_loop("engine.trigger", "engine.aio.trigger", "..., session=async_session" if options.get("session") else "...")
        started = self._the_starter().start(workflow, foreign_id, obj, options)
        return self._handle_of(workflow, foreign_id, started)

    def trigger_many(
        self,
        workflow: Workflow[ObjectT, StatusT],
        entries: Iterable[tuple[str, ObjectT]],
        *,
        key: Callable[[str], str] | None = None,
        **options: Unpack[ManyOptions[StatusT]],
    ) -> list[RunHandle[ObjectT, StatusT]]:
        """Start many runs in few transactions. In: pairs of foreign id and object; `key` makes the idempotency key of a foreign
        id. An entry whose foreign id has an unfinished run, or whose key was used, answers with that run (`created` is False)."""
        refuse_on_loop("engine.trigger_many", "engine.aio.trigger_many")
        pairs = list(entries)
        started = self._the_starter().start_many(workflow, pairs, key, options)
        return [self._handle_of(workflow, pair[0], one) for pair, one in zip(pairs, started, strict=True)]

    def callback(
        self,
        workflow: Workflow[ObjectT, StatusT],
        foreign_id: str,
        status: StatusT,
        payload: object = b"",
        **options: Unpack[CallbackOptions],
    ) -> CallbackResult:
        """Move the run of `foreign_id` out of `status` by the workflow's callback, or keep it until the run is there.

        In: the payload, bytes as they came or anything that JSON has a form for. Options: `name` where the status has several
        callbacks; `idempotency_key`, by which a second one of the workflow is recognised; `actor` for the history (default: the
        user of this process). Returns what became of it: look at `outcome`, or whether it was `accepted`. Raises what the
        function raises, and nothing is stored then; DefinitionError for a status without such a callback, PayloadError,
        StoreError.
        """
        refuse_on_loop("engine.callback", "engine.aio.callback")
        return Callbacks(self._the_core()).call(workflow, foreign_id, status, payload, **options)

    def replay_hook(
        self,
        workflow: Workflow[Any, Any],
        name: str,
        *,
        since: datetime | None = None,
        seen: Callable[[HookReplay], object] | None = None,
    ) -> HookReplay:
        """Tell the workflow's hooks of that name, here and now, of what the history of its runs holds (None: all of it): a new
        hook knows nothing of the past. Under the idempotency keys that they had, or would have had. What fails becomes a dead
        letter. `seen` is called after each run, with what became of it so far. Raises DefinitionError, ConfigurationError for an
        on_error hook, StoreError."""
        refuse_on_loop("engine.replay_hook", "engine.aio.replay_hook")
        return PastEvents(self._the_core(), workflow, name, since).tell(seen)

    def handle(self, run_id: str) -> RunHandle[Any, Any]:
        """A handle on any run. Raises RunNotFoundError."""
        refuse_on_loop("engine.handle", "engine.aio.handle")
        core = self._the_core()
        record = core.store.lookup([run_id]).get(run_id)
        if record is None:
            raise RunNotFoundError(f"there is no run {run_id}.", run_id=run_id)
        return RunHandle(core, core.workflows.get(record.workflow), run_id, record.foreign_id)

    def latest(self, workflow: Workflow[ObjectT, StatusT], foreign_id: str) -> RunHandle[ObjectT, StatusT]:
        """The unfinished run of a foreign id, else the one started last. Raises RunNotFoundError."""
        refuse_on_loop("engine.latest", "engine.aio.latest")
        core = self._the_core()
        record = core.store.latest(self.namespace, workflow.name, foreign_id)
        if record is None:
            raise RunNotFoundError(
                f"{workflow.name} has no run for {foreign_id!r}.", workflow=workflow.name, foreign_id=foreign_id
            )
        return RunHandle(core, workflow, record.run_id, foreign_id)

    def runs(
        self,
        workflow: Workflow[Any, Any] | str | None = None,
        *,
        foreign_ids: Iterable[str] = (),
        statuses: Iterable[Enum | str] = (),
        states: Iterable[RunState] = (),
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        order: Order = Order.NEWEST_FIRST,
        limit: int = 25,
        after: Cursor | None = None,
    ) -> Page:
        """One page of runs; pass `page.next` as `after` for the following one. Filters are combined with AND, several values of
        one with OR. Raises QueryError."""
        refuse_on_loop("engine.runs", "engine.aio.runs")
        name = workflow.name if isinstance(workflow, Workflow) else workflow
        return self._the_core().store.runs(
            RunQuery(
                namespace=self.namespace,
                workflows=() if name is None else (name,),
                foreign_ids=tuple(foreign_ids),
                statuses=tuple(str(s.value) if isinstance(s, Enum) else s for s in statuses),
                states=tuple(states),
                created_after=created_after,
                created_before=created_before,
                order=order,
                limit=limit,
                after=after,
            )
        )

    def fleet(self) -> Fleet:
        """Who is alive in this namespace, and what waits for each step, timeout, callback and hook. Counts the waiting rows: to
        look at, not to ask every second; `workflow_queue_depth` among the metrics says the same."""
        refuse_on_loop("engine.fleet", "engine.aio.fleet")
        return look_at_fleet(self._the_core())

    # -- inside ---------------------------------------------------------------------------------------------------------------

    def _joining(
        self, workflow: Workflow[ObjectT, StatusT], foreign_id: str, obj: ObjectT | None, options: Mapping[str, Any]
    ) -> Callable[[Any], RunHandle[ObjectT, StatusT]]:
        """What is left of a trigger in a session when all that may block, or asks the store, is done."""
        join = self._the_starter().joining(workflow, foreign_id, obj, options)
        return lambda session: self._handle_of(workflow, foreign_id, join(session))

    def _handle_of(self, workflow: Workflow[ObjectT, StatusT], foreign_id: str, started: Started) -> RunHandle[ObjectT, StatusT]:
        return RunHandle(self._the_core(), workflow, started.run_id, foreign_id, created=started.created)

    def _the_starter(self) -> Starter:
        core = self._the_core()
        if self._starter is None:
            self._starter = Starter(core)
        return self._starter

    def _connectors(self, core: Core, calls: EventCalls) -> ConnectorProcesses:
        return ConnectorProcesses(core, self, self._sources, calls)

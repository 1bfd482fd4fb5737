"""The life of an engine: what it is made of, when it is connected, how it starts and ends. Its verbs are in `engine`."""

from __future__ import annotations

import logging
import os
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, Unpack

from flowdsl.clock import SystemClock, Uuid7Source
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.engine.connector_processes import ConnectorProcesses
from flowdsl.engine.core import Core
from flowdsl.engine.discovery import open_roles, open_store, open_streamer
from flowdsl.engine.event_calls import EventCalls, ThreadCalls
from flowdsl.engine.loop_guard import refuse_on_loop
from flowdsl.engine.membership import DEFAULT_BEAT, DEFAULT_LAPSE
from flowdsl.engine.metrics import Metrics, ProcessState
from flowdsl.engine.publisher import Publisher
from flowdsl.engine.role_keeper import DEFAULT_LEASE
from flowdsl.engine.runtime import Runtime
from flowdsl.engine.settings import DEFAULT_DRAIN, EngineSettings, check_settings, check_workflows
from flowdsl.engine.starter import Starter
from flowdsl.engine.thread_executor import ThreadExecutor
from flowdsl.engine.worker import Worker
from flowdsl.errors import ConfigurationError, EngineClosedError, EngineForkedError, StoreError
from flowdsl.model.pending import TopicDepth
from flowdsl.ports.event_streamer import EventStreamer
from flowdsl.ports.record_store import RecordStore
from flowdsl.ports.role_scheduler import RoleScheduler

log = logging.getLogger("flowdsl.engine")


class EngineLife(ABC):
    """See Engine."""

    def __init__(
        self,
        *workflows: Workflow[Any, Any],
        store: RecordStore | Callable[[], RecordStore],
        roles: RoleScheduler | Callable[[], RoleScheduler] | None = None,
        streamer: EventStreamer | Callable[[], EventStreamer] | None = None,
        **settings: Unpack[EngineSettings],
    ) -> None:
        check_settings(settings)
        check_workflows(workflows)
        self.workflows = workflows
        self.namespace = settings.get("namespace", "default")
        self.metrics = Metrics(settings.get("registry"))
        self.works = settings.get("works", True)
        self._store_source = store
        self._roles_source = roles
        self._streamer_source = streamer
        self._streamer: EventStreamer | None = None
        self._sources = settings.get("sources") or {}
        self._handoff = settings.get("handoff", True)
        self._auto_resume = settings.get("auto_resume") or AutoResume()
        self._drain = settings.get("drain", DEFAULT_DRAIN)
        self._beat, self._lapse = settings.get("beat", DEFAULT_BEAT), settings.get("lapse", DEFAULT_LAPSE)
        self._lease = settings.get("lease", DEFAULT_LEASE)
        self._clock = settings.get("clock") or SystemClock()
        self._ids = settings.get("ids") or Uuid7Source(self._clock)
        self._rng = settings.get("rng") or random.Random()
        self._changing = (os.getpid(), threading.RLock())
        self._pid: int | None = None
        self._core: Core | None = None
        self._starter: Starter | None = None
        self._worker: Worker | None = None
        self._runtime: Runtime | None = None
        self._closed, self._clean = False, True
        for workflow in workflows:
            workflow.definition()  # an invalid workflow is refused here, not at its first event

    @classmethod
    def from_url(
        cls,
        *workflows: Workflow[Any, Any],
        store: str,
        streamer: str | None = None,
        roles: str | None = None,
        **settings: Unpack[EngineSettings],
    ) -> Self:
        """An engine on the store that the URL names, e.g. sqlite:///orders.db, postgresql+psycopg://user@host/db, memory://.
        `streamer` names what carries events between processes, e.g. amqp://user@host//; left out, consumers look into the
        store. `roles` names another system for the roles; left out, the store serves. `settings` as for Engine."""
        clock = settings.get("clock")
        return cls(
            *workflows,
            store=lambda: open_store(store, clock),
            roles=lambda: open_roles(roles if roles is not None else store, clock),
            streamer=None if streamer is None else lambda: open_streamer(streamer, clock),
            **settings,
        )

    @classmethod
    def client(
        cls,
        *workflows: Workflow[Any, Any],
        store: str,
        streamer: str | None = None,
        roles: str | None = None,
        **settings: Unpack[EngineSettings],
    ) -> Self:
        """An engine that never works on runs itself: it triggers, lists and controls."""
        settings["works"] = False
        return cls.from_url(*workflows, store=store, streamer=streamer, roles=roles, **settings)

    # -- life -----------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work on runs. Raises StoreError when the store cannot be reached, ConfigurationError for a client."""
        refuse_on_loop("engine.start", "engine.aio.start")
        self._start(None)

    def stop(self, drain: timedelta | None = None) -> bool:
        """Drain, then stop and close. True: every running step finished within the drain time. A second stop answers the same."""
        refuse_on_loop("engine.stop", "engine.aio.stop")
        return self._stop(drain)

    def __enter__(self) -> Self:
        if self.works:
            self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def states(self) -> Mapping[str, ProcessState]:
        """Every process and what it does; empty before the start."""
        if self._worker is None:
            return {}
        return {f"{workflow}/{name}" if workflow else name: state for (workflow, name), state in self._worker.states().items()}

    @property
    def unhealthy(self) -> str | None:
        """Why this process should be replaced; None while it should not."""
        return self._runtime.unhealthy if self._runtime is not None else None

    @property
    def unpublished(self) -> str | None:
        """Why events that were tried wait to be published still; None: none do. What they tell of is stored: consumers find it
        without them, later."""
        publisher = self._core.publisher if self._core is not None else None
        return None if publisher is None else publisher.trouble

    # -- inside ---------------------------------------------------------------------------------------------------------------

    @abstractmethod
    def _connectors(self, core: Core, calls: EventCalls) -> ConnectorProcesses:
        """The processes of the workflows' connectors, which call the verbs of the whole engine."""

    def _the_core(self) -> Core:
        """The parts, made at first use and again in a forked child."""
        pid = os.getpid()
        core = self._core
        if core is not None and self._pid == pid:
            return core
        with self._one_at_a_time():
            return self._core if self._core is not None and self._pid == pid else self._make_core(pid)

    def _one_at_a_time(self) -> threading.RLock:
        """Held during start, stop and first use. A forked child gets a lock of its own: its parent's may have been held."""
        pid, lock = self._changing
        if pid != os.getpid():
            self._changing = (os.getpid(), lock := threading.RLock())
        return lock

    def _make_core(self, pid: int) -> Core:
        if self._closed:
            raise EngineClosedError("this engine was stopped.", remedy="Make a new one.")
        if self._pid is not None and self._pid != pid and self._runtime is not None:
            raise EngineForkedError(
                "this engine was started before the process forked: its threads and connections belong to the parent.",
                remedy="Make a new Engine in the child, or start it after the fork.",
            )
        store = self._store_source() if callable(self._store_source) else self._store_source
        core = Core(
            self.workflows,
            store=store,
            clock=self._clock,
            ids=self._ids,
            rng=self._rng,
            metrics=self.metrics,
            namespace=self.namespace,
        )
        core.handoff = self._handoff
        if self._streamer_source is not None:
            self._streamer = self._streamer_source() if callable(self._streamer_source) else self._streamer_source
            core.publisher = Publisher(self._streamer, self._clock, self._ids, self.metrics)
            core.committer.grouped = core.publisher.flush
        if self._pid is None:
            self.metrics.observe_depths(self._depths)
        self._core, self._pid, self._starter = core, pid, None
        return core

    def _start(self, loop: Any) -> None:
        with self._one_at_a_time():
            self._start_once(loop)

    def _start_once(self, loop: Any) -> None:
        if not self.works:
            raise ConfigurationError("this engine is a client: it does not work on runs.", remedy="Use Engine.from_url(...).")
        core = self._the_core()
        if self._runtime is not None:
            return
        if not self.workflows:
            raise ConfigurationError("an engine without workflows has nothing to work on.", remedy="Engine(workflow, ...).")
        if self._roles_source is None:
            raise ConfigurationError("this engine has no role scheduler.", remedy="Pass roles=, or use Engine.from_url(...).")
        roles = self._roles_source() if callable(self._roles_source) else self._roles_source
        self._roles = roles

        def executor(steps: Any) -> ThreadExecutor:
            threads = ThreadExecutor(steps, core.clock, core.committer, "flowdsl")
            if loop is not None:
                threads.use_loop(loop)
            return threads

        worker = Worker(
            core,
            roles,
            executor,
            streamer=self._streamer,
            connectors=lambda made: self._connectors(core, ThreadCalls("flowdsl", made.event_loop)),
            auto_resume=self._auto_resume,
            beat=self._beat,
            lapse=self._lapse,
            lease=self._lease,
        )
        runtime = Runtime(core, worker, "flowdsl")
        try:
            runtime.start()
        except StoreError:
            worker.executor.stop()
            self._let_go_of(roles)
            raise
        except BaseException:  # no thread was to be had, or Ctrl-C: what has begun is not to go on without an engine
            runtime.stop(timedelta(0))
            self._let_go_of(roles)
            raise
        self._worker, self._runtime = worker, runtime
        log.info("engine started for %s", ", ".join(w.name for w in self.workflows))

    def _let_go_of(self, roles: RoleScheduler) -> None:
        """What was opened for a start that failed: the next one opens its own. What was given ready stays."""
        if callable(self._roles_source):
            roles.close()

    def _stop(self, drain: timedelta | None) -> bool:
        with self._one_at_a_time():
            return self._stop_once(drain)

    def _stop_once(self, drain: timedelta | None) -> bool:
        if self._closed:
            return self._clean  # threads and connections are gone: there is nothing left to wait with
        clean = True
        if self._runtime is not None and self._pid == os.getpid():
            clean = self._runtime.stop(drain if drain is not None else self._drain)
            self._roles.close()
            log.info("engine stopped%s", "" if clean else "; some steps still run")
        if self._core is not None and self._pid == os.getpid():
            self._core.waiter.close()
            if self._streamer is not None:
                self._streamer.close()
            self._core.store.close()
        self._closed, self._clean = True, clean
        self._core = None
        return clean

    def _depths(self) -> Mapping[tuple[str, str], TopicDepth]:
        core = self._core
        if core is None or self._pid != os.getpid():
            return {}
        try:
            depths = core.store.depths(self.namespace, list(core.topics))
        except StoreError as error:
            log.warning("queue depths are unknown: %s", error)
            return {}
        lanes = core.topics.items()
        return {(lane.workflow.name, lane.queue): depths[topic] for topic, lane in lanes if topic in depths}

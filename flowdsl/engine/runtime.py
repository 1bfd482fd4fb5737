"""The threaded runtime: drives a worker's processes in production. Five threads beside those of the executor, and two more with a
streamer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from flowdsl.engine.connector_consumer import ConnectorConsumer
from flowdsl.engine.core import Core
from flowdsl.engine.process import Process
from flowdsl.engine.worker import Worker

log = logging.getLogger("flowdsl.runtime")
AFTER_ERROR = 1.0
LONGEST_SLEEP = 5.0
SHORTEST_SLEEP = 0.01
DRAIN_TICK = 0.02
LONGEST_RECEIVE = timedelta(milliseconds=500)


class Runtime:
    """Threads: dispatch (claims), commit (for event loops, which must not wait), heart (the heartbeat, which waits for nothing
    else), roles (leases), house (the rest, in turn); with a streamer also stream (events to claims) and publish; one for each
    consumer of a connector."""

    def __init__(self, core: Core, worker: Worker, name: str) -> None:
        self._core = core
        self._worker = worker
        self._name = name
        self._stopping = threading.Event()
        self._commit_wanted = threading.Event()
        self._house_news = threading.Event()
        self._announced = threading.Event()
        self._threads: list[threading.Thread] = []
        self._unhealthy: str | None = None

    @property
    def unhealthy(self) -> str | None:
        """Why this process should be replaced; None while it should not."""
        return self._unhealthy

    def start(self) -> None:
        """Raises StoreError when the store cannot be reached at all."""
        core, worker = self._core, self._worker
        worker.open()
        core.commit_soon = self._commit_wanted.set
        core.delayed.changed = self._house_news.set
        if core.publisher is not None:
            core.committer.grouped = self._announced.set
            core.publisher.wanted = self._announced.set
        self._spawn("commit", self._commit)
        self._spawn("dispatch", self._dispatch)
        if worker.reader is not None:
            self._spawn("stream", self._read)
        for consumer in worker.connectors.consumers:
            self._spawn(consumer.name, partial(self._connect, consumer))
        if core.publisher is not None:
            self._spawn("publish", self._publish)
        self._spawn("heart", lambda: self._turn([worker.membership], self._stopping, _nothing))
        self._spawn("roles", lambda: self._turn([worker.roles], self._stopping, self._watch))
        self._spawn("house", lambda: self._turn(worker.slow_processes, self._house_news, worker.publish_states))

    def stop(self, drain: timedelta) -> bool:
        """Drain and stop. True: every body finished in time; otherwise what runs on keeps its claim until the process is gone."""
        self._worker.stop_taking()
        clock = self._core.clock
        end = clock.monotonic() + drain.total_seconds()
        while not self._worker.drained and clock.monotonic() < end:
            self._stopping.wait(DRAIN_TICK)
            self._commit_wanted.set()
        clean = self._worker.drained
        self._stopping.set()
        self._commit_wanted.set()
        self._house_news.set()
        self._announced.set()
        self._worker.dispatcher.wake(())
        self._core.room()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=10)
        self._core.committer.flush()
        if self._core.publisher is not None:
            self._core.publisher.flush()
        self._worker.close()
        return clean

    def _spawn(self, role: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._guarded, args=(role, target), name=f"{self._name}-{role}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _guarded(self, role: str, target: Callable[[], None]) -> None:
        """A loop that fails is logged and begun again after a pause: one bad answer must not stop the engine for good."""
        while not self._stopping.is_set():
            try:
                target()
                return
            except Exception:
                log.exception("the %s loop failed and starts again", role)
                self._stopping.wait(AFTER_ERROR)

    def _dispatch(self) -> None:
        dispatcher, clock = self._worker.dispatcher, self._core.clock
        while not self._stopping.is_set():
            if dispatcher.step():
                continue
            due = dispatcher.next_due()
            dispatcher.wait(LONGEST_SLEEP if due is None else max(0.0, min(LONGEST_SLEEP, due - clock.monotonic())))

    def _read(self) -> None:
        reader = self._worker.reader
        if reader is None:
            return
        try:
            while not self._stopping.is_set():
                reader.step(LONGEST_RECEIVE)
        finally:
            reader.close()

    def _connect(self, consumer: ConnectorConsumer) -> None:
        try:
            while not self._stopping.is_set():
                consumer.step(LONGEST_RECEIVE)
        finally:
            consumer.close()

    def _publish(self) -> None:
        publisher = self._core.publisher
        if publisher is None:
            return
        while True:
            due, now = publisher.next_due(), self._core.clock.monotonic()
            self._announced.wait(None if due is None else max(0.0, due - now))
            self._announced.clear()
            publisher.flush()
            if self._stopping.is_set():
                return

    def _commit(self) -> None:
        while True:
            self._commit_wanted.wait()
            self._commit_wanted.clear()
            self._core.committer.flush()
            if self._stopping.is_set():
                return

    def _turn(self, processes: Sequence[Process], news: threading.Event, after: Callable[[], None]) -> None:
        clock = self._core.clock
        while not self._stopping.is_set():
            more = False
            for process in processes:  # each once: what has much to do must not hold up the others
                more = process.step() or more
                if self._stopping.is_set():
                    return
            after()
            if more:
                continue
            dues = [due for due in (process.next_due() for process in processes) if due is not None]
            pause = min([LONGEST_SLEEP, *(due - clock.monotonic() for due in dues)])
            if news.wait(max(SHORTEST_SLEEP, pause)) and news is not self._stopping:
                news.clear()

    def _watch(self) -> None:
        """Bodies that outlived their time limit cannot be stopped from outside. When they hold every place of a lane, this
        process does nothing useful there any more and says so."""
        stuck: dict[str, int] = {}
        for work in self._worker.executor.overdue():
            stuck[work.lane.topic] = stuck.get(work.lane.topic, 0) + 1
        for topic, count in stuck.items():
            lane = self._core.topics[topic]
            if lane.limit and count >= lane.limit and self._unhealthy is None:
                self._unhealthy = f"all {count} bodies of step {lane.spec.name} have outlived their time_limit"
                log.error("%s: draining", self._unhealthy)
                self._worker.stop_taking()


def _nothing() -> None:
    """Nothing follows."""

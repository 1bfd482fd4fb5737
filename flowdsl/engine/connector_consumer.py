"""A connector's consumer: receives events, has the function called, and acknowledges what is done."""

from __future__ import annotations

import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from flowdsl.dsl.connector import ConnectorSpec
from flowdsl.dsl.incoming import Incoming
from flowdsl.engine.connector_attempts import AttemptBook, Attempts
from flowdsl.engine.connector_burial import bury_event, letter_of
from flowdsl.engine.connector_engine import ConnectorEngine
from flowdsl.engine.core import Core
from flowdsl.engine.event_calls import EventCall, EventCalls
from flowdsl.engine.event_hand import Hand, Held
from flowdsl.engine.intake import seconds
from flowdsl.engine.metrics import ProcessState
from flowdsl.engine.steps import describe
from flowdsl.errors import FlowError, StepOutcomeError, StoreError, StreamerError
from flowdsl.model.event import ConnectorEvent
from flowdsl.naming import connector_place, connector_process_name, connector_role
from flowdsl.options import ZERO
from flowdsl.ports.connector_source import ConnectorReader, ConnectorSource

log = logging.getLogger("flowdsl.connector")
LONG = timedelta(milliseconds=250)
"""Longest wait for an event while nothing is in hand: after it roles and the end of the engine are looked at."""
SHORT = timedelta(milliseconds=50)
"""Longest wait for a call to end before the source is asked again."""
AFTER_ERROR = timedelta(seconds=1)
LEAST_IN_HAND = 100
"""Events that a consumer holds at most, or twice its concurrency: so many may fail, or be too young, before others wait."""


class ConnectorConsumer:
    """One of the n consumers of a connector, run by whoever holds its role. Events about one thing are handled in the order in
    which they came, and one that fails holds up those behind it in its line and no others. It has no thread of its own; what it
    has in hand and not acknowledged when its role is gone goes to the next reader.

    In: `engine_for` makes what the function is given for an event; `calls` makes the calls.
    """

    def __init__(
        self,
        core: Core,
        workflow: str,
        spec: ConnectorSpec,
        source: ConnectorSource,
        slot: int,
        engine_for: Callable[[ConnectorEvent], ConnectorEngine],
        calls: EventCalls,
    ) -> None:
        slots = spec.options.parallel_count
        self.workflow = workflow
        self.spec = spec
        self.role = connector_role(core.namespace, workflow, spec.name, slot, slots)
        self.name = connector_process_name(spec.name, slot, slots)
        self.holds: Callable[[str], bool] = _no_role
        self._place = connector_place(core.namespace, workflow, spec.name)
        self._core = core
        self._source = source
        self._engine_for = engine_for
        self._calls = calls
        self._metrics = core.metrics.process(workflow, self.name)
        self._letters = core.metrics.dead_letters.labels(workflow, self.name)
        self._book = AttemptBook(core, workflow, spec.name)
        self._limit = max(LEAST_IN_HAND, 2 * spec.options.concurrency)
        self._reader: ConnectorReader | None = None
        self._received = 0
        """Since the reader was opened."""
        self._hand = Hand()
        self._ended: deque[tuple[Held, BaseException | None]] = deque()
        self._news = threading.Event()
        self._not_before = 0.0
        self._failing = False
        self._leaving = False
        """Events were let go of that the reader still has: it has to be closed before anything is begun."""

    # -- seen from outside ----------------------------------------------------------------------------------------------------

    def step(self, longest: timedelta = ZERO) -> bool:
        """One round, waiting at most `longest` when there is nothing to do. True: something was done."""
        did = self._settle()
        if not self._may_work():
            return self._rest(longest) or did
        did = self._start_due() or did
        events = self._receive(ZERO if did else longest)
        if events:
            self._take(events)
            self._start_due()
        return did or bool(events)

    def next_due(self) -> float | None:
        """The monotonic time at which an event that waits may be tried."""
        return self._hand.next_due()

    @property
    def drained(self) -> bool:
        """Nothing is in hand, and nothing is read."""
        return not self._hand.running and not self._ended and self._reader is None

    @property
    def state(self) -> ProcessState:
        if not self._core.accepting:
            return ProcessState.SHUTDOWN
        return ProcessState.RUNNING if self.holds(self.role) else ProcessState.IDLE

    def lose(self) -> None:
        """The connection breaks, as it does when the process ends."""
        if self._reader is not None:
            self._reader.close()

    def close(self) -> None:
        """Stop reading; what was not acknowledged goes to the next reader. To be called by the thread that steps, or after it."""
        self._settle()
        self._hand.clear()
        reader, self._reader, self._leaving = self._reader, None, False
        if reader is not None:
            try:
                reader.close()
            except StreamerError as error:
                log.info("closing the reader of %s failed: %s", self.name, error)

    # -- receiving ------------------------------------------------------------------------------------------------------------

    def _may_work(self) -> bool:
        return self._core.accepting and bool(self._core.owner) and self.holds(self.role) and not self._leaving

    def _rest(self, longest: timedelta) -> bool:
        """The role is another's, or the engine stops: begin nothing, and stop reading when what runs has ended."""
        if self._reader is not None:
            self._leaving = True
            self._hand.let_go()
            if not self._hand.running:
                self.close()
                return True
        self._pause(min(longest, LONG))
        return False

    def _receive(self, longest: timedelta) -> Sequence[ConnectorEvent]:
        now = self._core.clock.monotonic()
        if now < self._not_before:
            self._pause(min(longest, SHORT if self._hand.running else LONG))
            return ()
        room = self._limit - len(self._hand)
        wait = ZERO if self._hand.running or room <= 0 else min(longest, LONG, self._until_due(now))
        try:
            events = self._the_reader().receive(max(0, room), wait)
        except FlowError as error:  # also a column or an extra that is missing: somebody may mend it
            self._cannot_read(error)
            return ()
        if self._failing:
            self._failing = False
            log.info("%s receives again", self.name)
        if not events:
            if not self._hand:
                self._metrics.caught_up(seconds(self.spec.options.lag_alert))
            elif not wait:
                self._pause(min(longest, SHORT, self._until_due(now)))
        return events

    def _the_reader(self) -> ConnectorReader:
        if self._reader is None:
            self._reader = self._source.open(self._place)
            self._received = 0
        return self._reader

    def _cannot_read(self, error: FlowError) -> None:
        if not self._failing:
            log.warning("%s cannot receive, it is tried again every %s: %s", self.name, AFTER_ERROR, error)
        self._failing = True
        self._metrics.errors.inc()
        self._not_before = self._core.clock.monotonic() + AFTER_ERROR.total_seconds()

    def _until_due(self, now: float) -> timedelta:
        """What may be tried by now waits for a place, and a place makes news."""
        due = self._hand.next_due(after=now)
        return LONG if due is None else timedelta(seconds=due - now)

    def _pause(self, longest: timedelta) -> None:
        if longest > ZERO:
            self._news.wait(longest.total_seconds())
        self._news.clear()

    def _take(self, events: Sequence[ConnectorEvent]) -> None:
        """Put events into their lines. Of those that may have been in somebody's hands it is asked how often they were tried."""
        core, options = self._core, self.spec.options
        now, moment = core.clock.monotonic(), core.clock.now()
        for event in events:
            self._received += 1
            if event.event_id in self._hand:
                continue  # the source gave it out again: the reader acknowledges both
            age = max(ZERO, moment - event.created_at)
            self._metrics.received(age.total_seconds(), seconds(options.lag_alert))
            held = Held(event, now + max(ZERO, options.consume_lag - age).total_seconds())
            self._hand.add(held)
            # what the last reader had in hand when it ended comes first
            held.doubtful = event.redelivered or self._received <= self._limit
            if held.doubtful:
                self._look_up(held, now)

    def _look_up(self, held: Held, now: float) -> None:
        try:
            known = self._book.read(held.event)
        except StoreError as error:
            log.warning("how often an event of %s was tried cannot be read: %s", self.name, error)
            return
        if known is None:
            return
        held.marked = True
        held.attempts, held.error = known.count, known.error
        held.suspect = known.open and known.count > 1
        held.ready_at = max(held.ready_at, now + known.wait.total_seconds())
        most = self.spec.options.dead_letter_after_err_count
        if most and known.count >= most:
            held.verdict = (
                known.error if not known.open else f"{known.count} tries failed or ended with their process. {known.error}"
            )

    # -- handling -------------------------------------------------------------------------------------------------------------

    def _start_due(self) -> bool:
        """Begin with what may be tried now. True: something was begun."""
        begin = self._hand.ready(self._core.clock.monotonic(), self.spec.options.concurrency)
        self._mark([held for held in begin if held.doubtful and held.verdict is None])
        for held in begin:
            self._start(held)
        return bool(begin)

    def _mark(self, doubtful: Sequence[Held]) -> None:
        """Note that these are being tried, before they are."""
        tries: dict[str, Attempts] = {}
        for held in doubtful:
            held.marked = True
            tries[held.event.event_id] = Attempts(held.attempts + 1, open=True, error=held.error)
        self._book.write(tries, [held.event for held in doubtful])

    def _start(self, held: Held) -> None:
        event = held.event
        held.began = self._core.clock.monotonic()
        payload = None
        if held.verdict is None and event.problem:
            held.verdict = event.problem
        if held.verdict is None:
            try:
                payload = self.spec.body.decode(event.body)
            except Exception as error:  # a type's own checks may raise anything, and will again
                held.verdict = describe(error)
        if held.verdict is not None:
            self._bury(held)
            return
        held.running = True
        self._hand.running += 1
        incoming = Incoming(event, payload, held.attempts + 1)
        call = partial(self.spec.fn if self.spec.is_async else self._plain, self._engine_for(event), incoming)
        try:
            self._calls.start(EventCall(call, self.spec.is_async, partial(self._end, held)))
        except RuntimeError as error:  # no thread is to be had, or the caller's loop is over: the event has not been tried
            held.running = False
            self._hand.running -= 1
            held.ready_at = held.began + AFTER_ERROR.total_seconds()
            log.warning("an event of %s waits for a thread: %s", self.name, error)

    def _plain(self, engine: ConnectorEngine, event: Incoming[Any]) -> None:
        """Call a function that was seen not to be a coroutine function."""
        result = self.spec.fn(engine, event)
        if inspect.iscoroutine(result):
            result.close()
            raise StepOutcomeError(
                f"{self.spec.function} returned a coroutine that nobody awaits.", remedy="Declare it with async def."
            )

    def _end(self, held: Held, error: BaseException | None) -> None:
        """In the thread in which the call ended."""
        self._ended.append((held, error))
        self._news.set()

    def _settle(self) -> bool:
        """What follows from the calls that have ended. True: there were some."""
        done: list[Held] = []
        did = False
        while self._ended:
            held, error = self._ended.popleft()
            did = True
            held.running = False
            self._hand.running -= 1
            self._metrics.latency.observe(self._core.clock.monotonic() - held.began)
            if error is None:
                done.append(held)
            else:
                self._fail(held, error)
        if done:
            self._book.write({}, [held.event for held in done if held.marked])
            self._done(done)
        return did

    def _fail(self, held: Held, error: BaseException) -> None:
        held.attempts += 1
        self._metrics.errors.inc()
        text, options = describe(error), self.spec.options
        held.error, held.suspect = text, False
        most = options.dead_letter_after_err_count
        given_up = isinstance(error, options.dead_letter_on) or (most and held.attempts >= most)
        log.warning(
            "%s of %s failed on an event with %s, attempt %d%s",
            self.spec.function,
            self.name,
            type(error).__name__,  # its text may hold data of the event: a dead letter has it
            held.attempts,
            ", given up" if given_up else "",
            exc_info=error if log.isEnabledFor(logging.DEBUG) else None,
            extra={"event_id": held.event.event_id, "foreign_id": held.event.foreign_id, "attempt": held.attempts},
        )
        if given_up:
            held.verdict = text
            self._bury(held)
            return
        self._metrics.retries.inc()
        delay = options.retry.wait_after(error, held.attempts, self._core.rng)
        held.ready_at = self._core.clock.monotonic() + delay.total_seconds()
        held.marked = True
        self._book.write({held.event.event_id: Attempts(held.attempts, error=text, wait=delay)}, [held.event])

    def _bury(self, held: Held) -> None:
        """Put it among the dead letters and go on. While the store does not answer, it stays in hand."""
        core, event = self._core, held.event
        letter = letter_of(core, self.workflow, self.spec.name, event, held.verdict or "", held.attempts)
        try:
            fresh = bury_event(core, self._book, letter, held)
        except FlowError as error:
            log.error("an event of %s cannot be put among the dead letters, it is tried again: %s", self.name, error)
            held.ready_at = core.clock.monotonic() + AFTER_ERROR.total_seconds()
            return
        if fresh:
            self._letters.inc()
            ids = {"event_id": event.event_id, "foreign_id": event.foreign_id, "attempt": held.attempts}
            log.error("an event of %s is among the dead letters: %s", self.name, letter.letter_id, extra=ids)
        self._done([held])

    def _done(self, ended: Sequence[Held]) -> None:
        """What these events asked for is stored: acknowledge them."""
        for held in ended:
            self._hand.remove(held)
        reader = self._reader
        if reader is None:
            return
        try:
            reader.acknowledge([held.event for held in ended])
        except StreamerError as error:
            log.info("%s could not acknowledge, some events may come again: %s", self.name, error)


def _no_role(_: str) -> bool:
    return False

"""The simulated broker: what its processes share, and what it does to events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from flowdsl.clock import Clock
from flowdsl.errors import StreamerError
from flowdsl.memory.event_streamer import MemoryEventStreamer
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.ports.event_streamer import EventReceiver, StartFrom
from flowdsl.testing.simulation.fault import Fault
from flowdsl.testing.simulation.gate import Gate
from flowdsl.testing.simulation.weather import Weather

LOST, DOUBLED, DELAYED, OLD, UNCONFIRMED, SHUFFLED = 0.05, 0.1, 0.1, 0.05, 0.05, 0.3
LONGEST_DELAY = 120.0


class Broker:
    """A streamer in memory that loses, doubles, delays, reorders and repeats events."""

    def __init__(self, clock: Clock, weather: Weather) -> None:
        self.streamer = MemoryEventStreamer(clock)
        self._clock = clock
        self._weather = weather
        self._late: list[tuple[float, Event]] = []
        self._sent: list[Event] = []

    def publish(self, events: Sequence[Event]) -> Sequence[bool]:
        weather = self._weather
        now: list[Event] = []
        confirmed: list[bool] = []
        for event in events:
            if weather.strikes(Fault.DELAYED_EVENT, DELAYED):
                delay = weather.uniform(Fault.DELAYED_EVENT, 0.01, LONGEST_DELAY)
                self._late.append((self._clock.monotonic() + delay, event))
            elif not weather.strikes(Fault.LOST_EVENT, LOST):
                now.append(event)
            if weather.strikes(Fault.DOUBLED_EVENT, DOUBLED):
                now.append(event)
            if self._sent and weather.strikes(Fault.OLD_EVENT, OLD):
                now.append(self._sent[int(weather.uniform(Fault.OLD_EVENT, 0, len(self._sent) - 0.5))])
            confirmed.append(not weather.strikes(Fault.UNCONFIRMED_EVENT, UNCONFIRMED))
        self._sent.extend(events)
        self.streamer.publish(now)
        return confirmed

    def deliver(self) -> None:
        """Events that were held back and whose time has come."""
        now = self._clock.monotonic()
        due = [event for at, event in self._late if at <= now]
        if due:
            self._late = [(at, event) for at, event in self._late if at > now]
            self.streamer.publish(due)

    def shuffle(self, events: Sequence[Event]) -> Sequence[Event]:
        if len(events) > 1 and self._weather.strikes(Fault.SHUFFLED_EVENTS, SHUFFLED):
            return sorted(events, key=lambda _: self._weather.uniform(Fault.SHUFFLED_EVENTS, 0, 1))
        return events


class StreamerProxy:
    """A process's view of the broker."""

    retains_history = True

    def __init__(self, broker: Broker, gate: Gate) -> None:
        self._broker = broker
        self._gate = gate
        self._receivers: list[EventReceiver] = []

    def publish(self, events: Sequence[Event]) -> Sequence[bool]:
        def part() -> None:
            self._broker.publish(events[: len(events) // 2])

        return self._gate.through("publish", lambda: self._broker.publish(events), part)

    def receiver(self, name: str, topics: Sequence[str], start: StartFrom = StartFrom.OLDEST) -> Any:
        def connect() -> EventReceiver:
            self._receivers.append(self._broker.streamer.receiver(name, topics, start))
            return self._receivers[-1]

        return ReceiverProxy(self._broker, self._gate, self._gate.through("receiver", connect), connect)

    def hang_up(self) -> None:
        """The process is gone: its broker notices."""
        for receiver in self._receivers:
            receiver.close()

    def close(self) -> None:
        """The world closes its broker."""


class ReceiverProxy:
    """A reader of a process. After an error it reads over a new connection, and gets again what it did not acknowledge."""

    def __init__(self, broker: Broker, gate: Gate, receiver: EventReceiver, connect: Callable[[], EventReceiver]) -> None:
        self._broker = broker
        self._gate = gate
        self._receiver = receiver
        self._connect = connect

    def receive(self, quotas: Sequence[TopicQuota], timeout: timedelta) -> Sequence[Event]:
        def take() -> Sequence[Event]:
            self._broker.deliver()
            return self._broker.shuffle(self._receiver.receive(quotas, timedelta(0)))

        events: Sequence[Event] = self._through("receive", take)
        return events

    def acknowledge(self, events: Sequence[Event]) -> None:
        self._through("acknowledge", lambda: self._receiver.acknowledge(events))

    def close(self) -> None:
        self._receiver.close()

    def _through(self, name: str, call: Callable[[], Any]) -> Any:
        try:
            return self._gate.through(name, call)
        except StreamerError:
            self._receiver.close()
            self._receiver = self._connect()
            raise

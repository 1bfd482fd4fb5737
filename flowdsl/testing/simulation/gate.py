"""The gate that every call from a simulated process to a port passes: where processes die, calls fail, answers get lost, and
other processes get their turn."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol, TypeVar

from flowdsl.clock import Clock
from flowdsl.errors import FlowError, RoleSchedulerError, StoreUnavailableError, StreamerError
from flowdsl.testing.simulation.fault import Fault
from flowdsl.testing.simulation.weather import Weather

T = TypeVar("T")


class Port(Enum):
    """What is called."""

    STORE = "store"
    STREAMER = "streamer"
    ROLES = "roles"


ERRORS: dict[Port, type[FlowError]] = {
    Port.STORE: StoreUnavailableError,
    Port.STREAMER: StreamerError,
    Port.ROLES: RoleSchedulerError,
}
"""What each port raises when it cannot be reached."""
CRASH, UNAVAILABLE, LOST_ANSWER, OUTAGE = 0.004, 0.01, 0.01, 0.002
"""How likely each fault is at one call."""
DELICATE = {"commit": 5.0}
"""Calls at which faults are so much more likely than at others."""


class CrashedError(BaseException):
    """The simulated process is gone: nothing in it may catch this."""


class Caller(Protocol):
    """The process that calls."""

    name: str
    gone: bool

    def crash(self) -> None: ...


class Outages:
    """Which ports answer nobody just now, or do not answer one process. In: the world's clock, by which outages end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[tuple[Port, str | None], float] = {}

    def begin(self, port: Port, name: str | None, seconds: float) -> None:
        self._until[port, name] = self._clock.monotonic() + seconds

    def end(self) -> None:
        self._until.clear()

    def cover(self, port: Port, name: str) -> bool:
        if not self._until:
            return False
        now = self._clock.monotonic()
        return any(self._until.get((port, who), 0.0) > now for who in (None, name))


class Gate:
    """One process's way to one port. In: `interrupt`, with which the world lets others act."""

    def __init__(self, port: Port, caller: Caller, weather: Weather, outages: Outages, interrupt: Callable[[], None]) -> None:
        self.port = port
        self._caller = caller
        self._weather = weather
        self._outages = outages
        self._interrupt = interrupt

    def through(self, name: str, call: Callable[[], T], part: Callable[[], None] | None = None) -> T:
        """Make a call, or what the weather makes of it. In: `part`, what else may have been done when its answer is lost."""
        self._yield()
        weather, caller, more = self._weather, self._caller, DELICATE.get(name, 1.0)
        if weather.strikes(Fault.CRASH, CRASH * more):
            caller.crash()
            raise CrashedError(f"before {name}")
        self._refuse(name)
        if weather.strikes(Fault.LOST_ANSWER, LOST_ANSWER * more):
            if part is not None and weather.uniform(Fault.LOST_ANSWER, 0, 1) < 0.3:
                part()
            else:
                call()
            raise ERRORS[self.port](f"the answer to {name} was lost.")
        answer = call()
        if weather.strikes(Fault.CRASH, CRASH * more):
            caller.crash()
            raise CrashedError(f"after {name}")
        self._yield()
        return answer

    def _yield(self) -> None:
        if self._caller.gone:
            raise CrashedError
        self._interrupt()
        if self._caller.gone:
            raise CrashedError

    def _refuse(self, name: str) -> None:
        weather = self._weather
        if weather.strikes(Fault.OUTAGE, OUTAGE):
            alone = weather.uniform(Fault.OUTAGE, 0, 1) < 0.5
            seconds = weather.uniform(Fault.OUTAGE, 0.5, 60)
            self._outages.begin(self.port, self._caller.name if alone else None, seconds)
        if self._outages.cover(self.port, self._caller.name) or weather.strikes(Fault.UNAVAILABLE, UNAVAILABLE):
            raise ERRORS[self.port](f"{name} found nobody.")

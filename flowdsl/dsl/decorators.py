"""The types of the decorators: each takes a function of a certain shape and returns the same."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime
from enum import Enum
from typing import Any, Protocol, TypeVar, Unpack, overload

from flowdsl.dsl.run import Run
from flowdsl.model.outcome import Outcome
from flowdsl.options import SideOptions

ObjectT = TypeVar("ObjectT")
StatusT = TypeVar("StatusT", bound=Enum)
PayloadT = TypeVar("PayloadT")


class StepDecorator(Protocol[ObjectT, StatusT]):
    """Takes a function of a run that answers where the run goes: a step or a timeout."""

    @overload
    def __call__(
        self, fn: Callable[[Run[ObjectT, StatusT]], Coroutine[Any, Any, StatusT | Outcome | None]], /
    ) -> Callable[[Run[ObjectT, StatusT]], Coroutine[Any, Any, StatusT | Outcome | None]]: ...
    @overload
    def __call__(
        self, fn: Callable[[Run[ObjectT, StatusT]], StatusT | Outcome | None], /
    ) -> Callable[[Run[ObjectT, StatusT]], StatusT | Outcome | None]: ...


class CallbackDecorator(Protocol[ObjectT, StatusT]):
    """Takes a function of a run and a payload, or of a run alone, that answers where the run goes."""

    @overload
    def __call__(
        self, fn: Callable[[Run[ObjectT, StatusT], PayloadT], Coroutine[Any, Any, StatusT | Outcome | None]], /
    ) -> Callable[[Run[ObjectT, StatusT], PayloadT], Coroutine[Any, Any, StatusT | Outcome | None]]: ...
    @overload
    def __call__(
        self, fn: Callable[[Run[ObjectT, StatusT], PayloadT], StatusT | Outcome | None], /
    ) -> Callable[[Run[ObjectT, StatusT], PayloadT], StatusT | Outcome | None]: ...
    @overload
    def __call__(
        self, fn: Callable[[Run[ObjectT, StatusT]], Coroutine[Any, Any, StatusT | Outcome | None]], /
    ) -> Callable[[Run[ObjectT, StatusT]], Coroutine[Any, Any, StatusT | Outcome | None]]: ...
    @overload
    def __call__(
        self, fn: Callable[[Run[ObjectT, StatusT]], StatusT | Outcome | None], /
    ) -> Callable[[Run[ObjectT, StatusT]], StatusT | Outcome | None]: ...


class BareHookDecorator(Protocol[ObjectT, StatusT]):
    """Takes a function that is told of a run; what it answers is not looked at."""

    def __call__(self, fn: Callable[[Run[ObjectT, StatusT]], Any], /) -> Callable[[Run[ObjectT, StatusT]], Any]: ...


class HookDecorator(Protocol[ObjectT, StatusT]):
    """The same, or takes what it has to know first."""

    @overload
    def __call__(self, fn: Callable[[Run[ObjectT, StatusT]], Any], /) -> Callable[[Run[ObjectT, StatusT]], Any]: ...
    @overload
    def __call__(self, *, name: str | None = ..., **options: Unpack[SideOptions]) -> BareHookDecorator[ObjectT, StatusT]: ...


class DueAt(Protocol[ObjectT, StatusT]):
    """When a timeout is due: None for not at all. In: the run as it will be in the status, and the time, aware."""

    def __call__(
        self, run: Run[ObjectT, StatusT], now: datetime, /
    ) -> datetime | Coroutine[Any, Any, datetime | None] | None: ...

"""The types of the decorators: each takes a function of a certain shape and returns the same.

A type variable cannot be bound to a shape that has a workflow's types in it, so overloads tell apart what a function answers: a
status, no status, either; the same with `async def`. Where none fits, mypy shows the first of them and pyright the last.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime
from enum import Enum
from typing import Any, Protocol, TypeAlias, TypeVar, Unpack, overload

from flowdsl.dsl.run import Run
from flowdsl.model.outcome import Outcome
from flowdsl.options import HookOptions

ObjectT = TypeVar("ObjectT")
StatusT = TypeVar("StatusT", bound=Enum)
PayloadT = TypeVar("PayloadT")
AnswerT = TypeVar("AnswerT")
OutcomeT = TypeVar("OutcomeT", bound=Outcome | None)

OfRun: TypeAlias = Callable[[Run[ObjectT, StatusT]], AnswerT]
OfRunAsync: TypeAlias = Callable[[Run[ObjectT, StatusT]], Coroutine[Any, Any, AnswerT]]
OfPayload: TypeAlias = Callable[[Run[ObjectT, StatusT], PayloadT], AnswerT]
OfPayloadAsync: TypeAlias = Callable[[Run[ObjectT, StatusT], PayloadT], Coroutine[Any, Any, AnswerT]]


class StepDecorator(Protocol[ObjectT, StatusT]):
    """Takes a function of a run that answers where the run goes: a step or a timeout."""

    @overload
    def __call__(self, fn: OfRun[ObjectT, StatusT, StatusT], /) -> OfRun[ObjectT, StatusT, StatusT]: ...
    @overload
    def __call__(self, fn: OfRun[ObjectT, StatusT, OutcomeT], /) -> OfRun[ObjectT, StatusT, OutcomeT]: ...
    @overload
    def __call__(self, fn: OfRunAsync[ObjectT, StatusT, StatusT], /) -> OfRunAsync[ObjectT, StatusT, StatusT]: ...
    @overload
    def __call__(self, fn: OfRunAsync[ObjectT, StatusT, OutcomeT], /) -> OfRunAsync[ObjectT, StatusT, OutcomeT]: ...
    @overload
    def __call__(
        self, fn: OfRunAsync[ObjectT, StatusT, StatusT | OutcomeT], /
    ) -> OfRunAsync[ObjectT, StatusT, StatusT | OutcomeT]: ...
    @overload
    def __call__(self, fn: OfRun[ObjectT, StatusT, StatusT | OutcomeT], /) -> OfRun[ObjectT, StatusT, StatusT | OutcomeT]: ...


class CallbackDecorator(Protocol[ObjectT, StatusT]):
    """Takes a function of a run and a payload, or of a run alone, that answers where the run goes."""

    @overload
    def __call__(
        self, fn: OfPayload[ObjectT, StatusT, PayloadT, StatusT], /
    ) -> OfPayload[ObjectT, StatusT, PayloadT, StatusT]: ...
    @overload
    def __call__(
        self, fn: OfPayload[ObjectT, StatusT, PayloadT, OutcomeT], /
    ) -> OfPayload[ObjectT, StatusT, PayloadT, OutcomeT]: ...
    @overload
    def __call__(
        self, fn: OfPayloadAsync[ObjectT, StatusT, PayloadT, StatusT], /
    ) -> OfPayloadAsync[ObjectT, StatusT, PayloadT, StatusT]: ...
    @overload
    def __call__(
        self, fn: OfPayloadAsync[ObjectT, StatusT, PayloadT, OutcomeT], /
    ) -> OfPayloadAsync[ObjectT, StatusT, PayloadT, OutcomeT]: ...
    @overload
    def __call__(
        self, fn: OfPayloadAsync[ObjectT, StatusT, PayloadT, StatusT | OutcomeT], /
    ) -> OfPayloadAsync[ObjectT, StatusT, PayloadT, StatusT | OutcomeT]: ...
    @overload
    def __call__(
        self, fn: OfPayload[ObjectT, StatusT, PayloadT, StatusT | OutcomeT], /
    ) -> OfPayload[ObjectT, StatusT, PayloadT, StatusT | OutcomeT]: ...
    @overload
    def __call__(self, fn: OfRun[ObjectT, StatusT, StatusT], /) -> OfRun[ObjectT, StatusT, StatusT]: ...
    @overload
    def __call__(self, fn: OfRun[ObjectT, StatusT, OutcomeT], /) -> OfRun[ObjectT, StatusT, OutcomeT]: ...
    @overload
    def __call__(self, fn: OfRunAsync[ObjectT, StatusT, StatusT], /) -> OfRunAsync[ObjectT, StatusT, StatusT]: ...
    @overload
    def __call__(self, fn: OfRunAsync[ObjectT, StatusT, OutcomeT], /) -> OfRunAsync[ObjectT, StatusT, OutcomeT]: ...
    @overload
    def __call__(
        self, fn: OfRunAsync[ObjectT, StatusT, StatusT | OutcomeT], /
    ) -> OfRunAsync[ObjectT, StatusT, StatusT | OutcomeT]: ...
    @overload
    def __call__(self, fn: OfRun[ObjectT, StatusT, StatusT | OutcomeT], /) -> OfRun[ObjectT, StatusT, StatusT | OutcomeT]: ...


class BareHookDecorator(Protocol[ObjectT, StatusT]):
    """Takes a function that is told of a run; what it answers is not looked at."""

    def __call__(self, fn: OfRun[ObjectT, StatusT, AnswerT], /) -> OfRun[ObjectT, StatusT, AnswerT]: ...


class HookDecorator(Protocol[ObjectT, StatusT]):
    """The same, or takes what it has to know first."""

    @overload
    def __call__(self, fn: OfRun[ObjectT, StatusT, AnswerT], /) -> OfRun[ObjectT, StatusT, AnswerT]: ...
    @overload
    def __call__(self, *, name: str | None = ..., **options: Unpack[HookOptions]) -> BareHookDecorator[ObjectT, StatusT]: ...


class DueAt(Protocol[ObjectT, StatusT]):
    """When a timeout is due: None for not at all. In: the run as it will be in the status, and the time, aware."""

    def __call__(
        self, run: Run[ObjectT, StatusT], now: datetime, /
    ) -> datetime | Coroutine[Any, Any, datetime | None] | None: ...

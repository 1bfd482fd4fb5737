"""The engine as a connector's function sees it: what one event starts is started once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Protocol, TypeVar, Unpack

from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.handle import AioRunHandle, RunHandle
from flowdsl.engine.trigger_options import ManyOptions, TriggerOptions
from flowdsl.model.callback_result import CallbackResult

ObjectT = TypeVar("ObjectT")
StatusT = TypeVar("StatusT", bound=Enum)


class EventKeys:
    """Idempotency keys of what a function does for one event. A key says which event, and for the how-manyth time the same was
    asked for: the order of different calls may change from one try to the next."""

    def __init__(self, workflow: str, connector: str, event_id: str) -> None:
        self._connector = connector
        self._event = (workflow, connector, event_id)
        self._calls: Counter[tuple[str, ...]] = Counter()

    def next(self, *call: str) -> str:
        """The key of a call. In: the verb and what it is about."""
        self._calls[call] += 1
        return f"connector/{self._connector}/{digest(*self._event, *call, str(self._calls[call]))[:32]}"


def digest(*texts: str) -> str:
    """64 characters. Each text's length counts, so that none can end where another begins."""
    whole = "".join(f"{len(text)}:{text}" for text in texts)
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


class Verbs(Protocol):
    """What is forwarded to: the engine."""

    @property
    def aio(self) -> Any: ...
    @property
    def trigger(self) -> Any: ...
    @property
    def trigger_many(self) -> Any: ...
    @property
    def callback(self) -> Any: ...


class ConnectorEngine:
    """Every verb of Engine. `trigger`, `trigger_many` and `callback` carry an idempotency key made of the event, unless they are
    given one: when the event comes again, they answer as they did the first time and do nothing twice. Use it for one event."""

    def __init__(self, engine: Verbs, keys: EventKeys, actor: str) -> None:
        self._engine = engine
        self._call = _Calls(keys, actor)
        self.aio = AioConnectorEngine(engine.aio, self._call)
        """The same verbs as coroutines."""

    def trigger(
        self,
        workflow: Workflow[ObjectT, StatusT],
        foreign_id: str,
        obj: ObjectT | None = None,
        **options: Unpack[TriggerOptions[StatusT]],
    ) -> RunHandle[ObjectT, StatusT]:
        """As Engine.trigger."""
        handle: RunHandle[ObjectT, StatusT] = self._engine.trigger(
            workflow, foreign_id, obj, **self._call.options("trigger", options, workflow.name, foreign_id)
        )
        return handle

    def trigger_many(
        self,
        workflow: Workflow[ObjectT, StatusT],
        entries: Iterable[tuple[str, ObjectT]],
        *,
        key: Callable[[str], str] | None = None,
        **options: Unpack[ManyOptions[StatusT]],
    ) -> list[RunHandle[ObjectT, StatusT]]:
        """As Engine.trigger_many."""
        call = self._call
        handles: list[RunHandle[ObjectT, StatusT]] = self._engine.trigger_many(
            workflow, entries, key=key or call.key_of(workflow.name), **call.acted(options)
        )
        return handles

    def callback(
        self,
        workflow: Workflow[Any, StatusT],
        foreign_id: str,
        status: StatusT,
        payload: object = b"",
        *,
        name: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
    ) -> CallbackResult:
        """As Engine.callback."""
        key = idempotency_key or self._call.callback_key(workflow, foreign_id, status, name)
        result: CallbackResult = self._engine.callback(
            workflow, foreign_id, status, payload, name=name, idempotency_key=key, actor=actor or self._call.actor
        )
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


class AioConnectorEngine:
    """`engine.aio` of a ConnectorEngine."""

    def __init__(self, aio: Any, call: _Calls) -> None:
        self._aio = aio
        self._call = call

    async def trigger(
        self,
        workflow: Workflow[ObjectT, StatusT],
        foreign_id: str,
        obj: ObjectT | None = None,
        **options: Unpack[TriggerOptions[StatusT]],
    ) -> AioRunHandle[ObjectT, StatusT]:
        """As Engine.trigger."""
        handle: AioRunHandle[ObjectT, StatusT] = await self._aio.trigger(
            workflow, foreign_id, obj, **self._call.options("trigger", options, workflow.name, foreign_id)
        )
        return handle

    async def trigger_many(
        self,
        workflow: Workflow[ObjectT, StatusT],
        entries: Iterable[tuple[str, ObjectT]],
        *,
        key: Callable[[str], str] | None = None,
        **options: Any,
    ) -> list[AioRunHandle[ObjectT, StatusT]]:
        """As Engine.trigger_many."""
        call = self._call
        handles: list[AioRunHandle[ObjectT, StatusT]] = await self._aio.trigger_many(
            workflow, entries, key=key or call.key_of(workflow.name), **call.acted(options)
        )
        return handles

    async def callback(
        self,
        workflow: Workflow[Any, StatusT],
        foreign_id: str,
        status: StatusT,
        payload: object = b"",
        *,
        name: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
    ) -> CallbackResult:
        """As Engine.callback."""
        key = idempotency_key or self._call.callback_key(workflow, foreign_id, status, name)
        result: CallbackResult = await self._aio.callback(
            workflow, foreign_id, status, payload, name=name, idempotency_key=key, actor=actor or self._call.actor
        )
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._aio, name)


class _Calls:
    """The options that are added to a call."""

    def __init__(self, keys: EventKeys, actor: str) -> None:
        self._keys = keys
        self.actor = actor

    def options(self, verb: str, options: Any, *about: str) -> dict[str, Any]:
        given = self.acted(options)
        if given.get("idempotency_key") is None:
            given["idempotency_key"] = self._keys.next(verb, *about)
        return given

    def acted(self, options: Any) -> dict[str, Any]:
        """With who does it, for the history."""
        given = dict(options)
        if given.get("actor") is None:
            given["actor"] = self.actor
        return given

    def callback_key(self, workflow: Workflow[Any, Any], foreign_id: str, status: Enum, name: str | None) -> str:
        return self._keys.next("callback", workflow.name, foreign_id, str(status.value), name or "")

    def key_of(self, workflow: str) -> Callable[[str], str]:
        """The keys of the entries of one trigger_many: the same for the same foreign id, as often as it is asked for."""
        known: dict[str, str] = {}

        def key(foreign_id: str) -> str:
            if foreign_id not in known:
                known[foreign_id] = self._keys.next("trigger", workflow, foreign_id)
            return known[foreign_id]

        return key

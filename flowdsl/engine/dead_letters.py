"""The dead letters from outside: list, look, try again, drop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from flowdsl.engine.control import commit_one, default_actor
from flowdsl.engine.core import Core
from flowdsl.engine.loop_guard import refuse_on_loop
from flowdsl.errors import ConfigurationError, DeadLetterNotFoundError, ReplayFailedError
from flowdsl.model import audit, dead_letter
from flowdsl.model.audit import AuditEntry
from flowdsl.model.change import PutItems
from flowdsl.model.dead_letter import DeadLetter
from flowdsl.model.item import ItemKey, ItemKind
from flowdsl.model.limits import MAX_NOTE

PAGE = 100
SCAN = 500
"""Letters that are read at once while looking for those that match."""


class Replay(NamedTuple):
    """What trying a letter again means. `call` returns when what it did is stored, and raises when it failed."""

    call: Callable[[], Any]
    is_async: bool = False


Replayer = Callable[[DeadLetter], Replay]
"""Makes the replay of a letter of one origin. Raises FlowError when this process has not the code for it."""


class DeadLetterPage(NamedTuple):
    """Letters without long bodies, oldest first; pass `next` as `after` for more. None on the last page."""

    letters: Sequence[DeadLetter]
    next: str | None


class DeadLetters:
    """`engine.dead_letters`. In: the core, made at first use; who can replay letters of which origin."""

    def __init__(self, core: Callable[[], Core], replayers: Mapping[str, Replayer]) -> None:
        self._core = core
        self._replayers = replayers

    def list(
        self,
        *,
        origin: str | None = None,
        workflow: str | None = None,
        name: str | None = None,
        foreign_id: str | None = None,
        limit: int = PAGE,
        after: str = "",
    ) -> DeadLetterPage:
        """One page, oldest first. Filters are combined with AND. Raises StoreError."""
        refuse_on_loop("engine.dead_letters.list", "engine.aio.dead_letters.list")
        if limit < 1:
            raise ConfigurationError(f"limit={limit} asks for nothing.", remedy="Ask for 1 or more.")
        wanted = {"origin": origin, "workflow": workflow, "name": name, "foreign_id": foreign_id}
        asked = {field: value for field, value in wanted.items() if value is not None}
        found: list[DeadLetter] = []
        for letter in self._all(after):
            if all(getattr(letter, field) == value for field, value in asked.items()):
                if len(found) == limit:
                    return DeadLetterPage(found, found[-1].letter_id)
                found.append(letter)
        return DeadLetterPage(found, None)

    def get(self, letter_id: str) -> DeadLetter:
        """One letter with its body. Raises DeadLetterNotFoundError, StoreError."""
        refuse_on_loop("engine.dead_letters.get", "engine.aio.dead_letters.get")
        return self._get(letter_id)

    def audit(self, letter_id: str) -> Sequence[AuditEntry]:
        """Who replayed or dropped it and what came of that, oldest first; also of a letter that is gone."""
        refuse_on_loop("engine.dead_letters.audit", "engine.aio.dead_letters.audit")
        core = self._core()
        found: list[AuditEntry] = []
        after = audit.first_key(letter_id)
        while True:
            items = core.store.items(core.namespace, ItemKind.DEAD_LETTER_AUDIT, after, SCAN)
            mine = audit.entries(letter_id, items)
            found += mine
            if not items or len(mine) < len(items):
                return found
            after = items[-1].key

    def replay(self, letter_id: str, actor: str | None = None) -> None:
        """Try it again, here and now, with the idempotency keys that it had: what an earlier try did is not done twice. A letter
        that succeeds is gone; one that fails stays. Raises ReplayFailedError, whose cause is what was raised,
        DeadLetterNotFoundError, ConfigurationError where this engine has not the code, StoreError."""
        refuse_on_loop("engine.dead_letters.replay", "engine.aio.dead_letters.replay")
        letter = self._get(letter_id)
        replay = self._replay_of(letter)
        try:
            if replay.is_async:
                asyncio.run(_awaited(replay.call()))
            else:
                replay.call()
        except Exception as error:
            self._failed(letter, actor, error)
        self._gone(letter, "replayed", actor, "")

    def drop(self, letter_id: str, reason: str, actor: str | None = None) -> None:
        """Forget it. The audit keeps who did so and why. Raises DeadLetterNotFoundError, StoreError."""
        refuse_on_loop("engine.dead_letters.drop", "engine.aio.dead_letters.drop")
        self._gone(self._head(letter_id), "dropped", actor, reason)

    # -- inside ---------------------------------------------------------------------------------------------------------------

    def _all(self, after: str) -> Iterator[DeadLetter]:
        core = self._core()
        while True:
            items = core.store.items(core.namespace, ItemKind.DEAD_LETTER, after, SCAN)
            yield from map(dead_letter.read, items)
            if len(items) < SCAN:
                return
            after = items[-1].key

    def _head(self, letter_id: str) -> DeadLetter:
        core = self._core()
        item = core.store.item(core.namespace, ItemKind.DEAD_LETTER, letter_id)
        if item is None:
            raise DeadLetterNotFoundError(letter_id)
        return dead_letter.read(item)

    def _get(self, letter_id: str) -> DeadLetter:
        core, letter = self._core(), self._head(letter_id)
        parts = [core.store.item(core.namespace, ItemKind.DEAD_LETTER_BODY, key) for key in dead_letter.body_keys(letter)]
        if None in parts:  # somebody has just dropped it
            raise DeadLetterNotFoundError(letter_id)
        return dead_letter.with_body(letter, [part.body for part in parts if part is not None])

    def _replay_of(self, letter: DeadLetter) -> Replay:
        if not letter.replayable:
            raise ConfigurationError(
                f"dead letter {letter.letter_id} cannot be replayed: {letter.error}.", remedy="Have it sent again, then drop it."
            )
        replayer = self._replayers.get(letter.origin)
        if replayer is None:
            raise ConfigurationError(f"this code cannot replay what comes from a {letter.origin}.", remedy="Deploy newer code.")
        return replayer(letter)

    def _gone(self, letter: DeadLetter, action: str, actor: str | None, detail: str) -> None:
        self._put(letter, action, actor, detail, dead_letter.unbury(letter))

    def _failed(self, letter: DeadLetter, actor: str | None, error: Exception) -> None:
        # Its text may hold data, which nobody would find there who has to delete that of a run.
        self._put(letter, "replayed in vain", actor, type(error).__name__, ())
        raise ReplayFailedError(letter.letter_id, error) from error

    def _put(self, letter: DeadLetter, action: str, actor: str | None, detail: str, drop: tuple[ItemKey, ...]) -> None:
        core = self._core()
        entry = AuditEntry(
            subject=letter.letter_id,
            action=action,
            actor=(actor or default_actor())[:MAX_NOTE],
            at=core.clock.now(),
            detail=detail[:MAX_NOTE].encode("utf-8", "replace").decode(),
        )
        items = (audit.record(entry, core.ids()),)
        commit_one(core, PutItems(change_id=core.ids(), namespace=core.namespace, items=items, drop=drop))


class AioDeadLetters:
    """`engine.aio.dead_letters`: see DeadLetters for what each verb does."""

    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters

    async def list(self, **filters: Any) -> DeadLetterPage:
        return await asyncio.to_thread(partial(self._letters.list, **filters))

    async def get(self, letter_id: str) -> DeadLetter:
        return await asyncio.to_thread(self._letters.get, letter_id)

    async def audit(self, letter_id: str) -> Sequence[AuditEntry]:
        return await asyncio.to_thread(self._letters.audit, letter_id)

    async def replay(self, letter_id: str, actor: str | None = None) -> None:
        letters = self._letters
        letter = await asyncio.to_thread(letters._get, letter_id)
        replay = letters._replay_of(letter)
        try:
            if replay.is_async:
                await replay.call()
            else:
                await asyncio.to_thread(replay.call)
        except Exception as error:
            await asyncio.to_thread(letters._failed, letter, actor, error)
        await asyncio.to_thread(letters._gone, letter, "replayed", actor, "")

    async def drop(self, letter_id: str, reason: str, actor: str | None = None) -> None:
        await asyncio.to_thread(self._letters.drop, letter_id, reason, actor)


async def _awaited(call: Awaitable[Any]) -> Any:
    return await call

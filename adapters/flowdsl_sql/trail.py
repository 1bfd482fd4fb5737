"""How far a reader of a growing table has come: a place, and what is known beyond it."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from typing import Any


class Trail:
    """Keys may become visible out of order, because the transaction that took a smaller one may commit later. So the place stays
    behind the newest key until no smaller one can come any more, as far as anybody can tell."""

    def __init__(self, place: Any, done: Iterable[Any], now: float) -> None:
        self.place = place
        """Everything up to here is done and settled. None: nothing is."""
        self._done = set(done)
        self._keys: list[Any] = sorted(self._done)
        """Known keys beyond the place."""
        self._seen_at: dict[Any, float] = dict.fromkeys(self._keys, now)
        self._settled: Any = None

    @property
    def last(self) -> Any:
        """The greatest key that is known; None: none is."""
        return self._keys[-1] if self._keys else self.place

    def __contains__(self, key: Any) -> bool:
        return key in self._seen_at

    def see(self, key: Any, now: float) -> None:
        """A key that was not known has been read."""
        insort(self._keys, key)
        self._seen_at[key] = now

    def finish(self, keys: Iterable[Any]) -> None:
        """These are done."""
        self._done.update(key for key in keys if key in self._seen_at)

    def settle(self, before: float) -> None:
        """Everything is known that is smaller than what was seen before this time."""
        old = [key for key, seen_at in self._seen_at.items() if seen_at <= before]
        if old:
            newest = max(old)
            self._settled = newest if self._settled is None or newest > self._settled else self._settled
        self.advance()

    def advance(self) -> None:
        """Move the place past what is done and settled."""
        if self._settled is None:
            return
        passed = 0
        for key in self._keys[: bisect_right(self._keys, self._settled)]:
            if key not in self._done:
                break
            passed += 1
        for key in self._keys[:passed]:
            self._done.discard(key)
            self._seen_at.pop(key, None)
            self.place = key
        del self._keys[:passed]

    @property
    def done(self) -> list[Any]:
        """What is done beyond the place, in order."""
        return [key for key in self._keys if key in self._done]

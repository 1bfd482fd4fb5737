"""Answers: the results of changes that one caller has committed and waits for."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from flowdsl.model.change import CommitResult


class Answers:
    """A place for the result of each change, filled by whoever commits it. One for many changes costs a tenth of a Future for
    each."""

    __slots__ = ("_complete", "_found", "_guard", "_left")

    def __init__(self, count: int) -> None:
        self._found: list[CommitResult | Exception | None] = [None] * count
        self._left = count
        self._guard = threading.Lock()
        self._complete = threading.Event()

    def give(self, place: int, found: CommitResult | Exception) -> None:
        """The result of the change in this place, or why the store could not answer. Each place is given once."""
        self._found[place] = found
        with self._guard:
            self._left -= 1
            if not self._left:
                self._complete.set()

    def complete(self) -> bool:
        return not self._left

    def wait(self) -> Sequence[CommitResult | Exception]:
        """Until every place has been given: all of them, in order."""
        self._complete.wait()
        return [found for found in self._found if found is not None]


def result_of(found: CommitResult | Exception) -> CommitResult:
    """Raises what was given in the result's place."""
    if isinstance(found, Exception):
        raise found
    return found

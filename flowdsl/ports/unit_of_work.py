"""The unit of work: the user's own writes, in the transaction that stores a change."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from flowdsl.model.change import Change, CommitResult

Write = Callable[[Any], object]
"""Given the store's session; what it writes becomes part of the transaction. May be called again when the transaction is."""


class UnitOfWork(Protocol):
    """One open transaction. Used by one thread at a time; ended by `commit` or `close`."""

    session: Any
    """The store's session: for SQL stores an SQLAlchemy Session on the store's database."""

    @abstractmethod
    def commit(self, changes: Sequence[Change], writes: Sequence[Write] = ()) -> Sequence[CommitResult]:
        """Call `writes`, apply all changes and commit; or nothing of it, when one change does not hold: then its result says why
        and those of the others are LOST. A lost answer is resolved by re-reading. Raises StoreError, and what `writes` raise."""

    @abstractmethod
    def close(self) -> None:
        """Undo what was not committed. Closing twice is fine."""

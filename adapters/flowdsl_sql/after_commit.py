"""What follows the commit of a user's own session."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Connection, RootTransaction, event
from sqlalchemy.orm import Session, SessionTransaction

log = logging.getLogger("flowdsl.sql.session")
KEY = "flowdsl_after_commit"
"""Under which a session keeps its watch in `Session.info`."""


def after_commit(session: Session, connection: Connection, call: Callable[[], None]) -> None:
    """Call this once, after the session has committed what it is doing now on its connection and has let go of that; never, when
    it is undone, also to a savepoint only, or when the session does not commit it itself: SQLAlchemy tells nobody of the end of a
    transaction that was begun on a connection and joined by a session."""
    watch = session.info.get(KEY)
    if watch is None:
        watch = session.info[KEY] = _Watch()
        # For as long as there is the session: a listener cannot be taken away while it is called.
        event.listen(session, "before_commit", watch.before_commit)
        event.listen(session, "after_commit", watch.after_commit)
        event.listen(session, "after_transaction_end", watch.ended)
    inner = _innermost(session)
    if inner is not None:
        watch.waiting.setdefault(inner, []).append(_Entry(call, connection.get_transaction()))


class _Entry(NamedTuple):
    call: Callable[[], None]
    transaction: RootTransaction | None
    """The database's, whatever the session thinks of as one."""

    @property
    def open(self) -> bool:
        return self.transaction is not None and self.transaction.is_active


class _Watch:
    """What waits for the transactions and savepoints of one session."""

    def __init__(self) -> None:
        self.waiting: dict[SessionTransaction, list[_Entry]] = {}
        self._done: set[SessionTransaction] = set()

    def before_commit(self, session: Session) -> None:
        """Transactions that are over already were ended by somebody else, who knows how."""
        self._keep(session, lambda entry: entry.open)

    def after_commit(self, session: Session) -> None:
        """A transaction or a savepoint was committed and is about to end."""
        inner = _innermost(session)
        if inner in self.waiting:
            self._done.add(inner)
            if not inner.nested:  # one that is still open will be ended by somebody else
                self._keep(session, lambda entry: not entry.open)

    def _keep(self, session: Session, wanted: Callable[[_Entry], bool]) -> None:
        inner = _innermost(session)
        if inner in self.waiting:
            self.waiting[inner] = [entry for entry in self.waiting[inner] if wanted(entry)]

    def ended(self, session: Session, transaction: SessionTransaction) -> None:
        entries = self.waiting.pop(transaction, None)
        if entries is None or transaction not in self._done:
            return
        self._done.discard(transaction)
        outer = transaction.parent
        while outer is not None and outer.parent is not None and not outer.nested:
            outer = outer.parent  # a flush is no transaction of the database
        if outer is not None:
            self.waiting.setdefault(outer, []).extend(entries)
            return
        for entry in entries:
            try:
                entry.call()
            except Exception:  # the user's data is stored: that is what the caller of commit() is to hear
                log.exception("what follows the commit of a session failed")


def _innermost(session: Session) -> SessionTransaction | None:
    return session.get_nested_transaction() or session.get_transaction()

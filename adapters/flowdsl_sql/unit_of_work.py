"""One open transaction that the user's writes and a run's changes share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flowdsl.errors import StoreUnavailableError
from flowdsl.model.change import Change, CommitOutcome, CommitResult, MoveRun, StartRun
from flowdsl.model.limits import unfit
from flowdsl.ports.unit_of_work import UnitOfWork, Write
from flowdsl_sql import results
from flowdsl_sql.database import TRIES, Database, Session
from flowdsl_sql.errors import Trouble, diagnose, is_driver_error, translated
from flowdsl_sql.notes import notify
from flowdsl_sql.user_session import UserSession
from flowdsl_sql.wave import apply_wave, waves
from flowdsl_sql.writers import writer_for

Wakes = set[tuple[str, str]]
IDLE_TIMEOUT = {
    "postgresql": "SET LOCAL idle_in_transaction_session_timeout = '15min'",
    "mariadb": "SET SESSION idle_transaction_timeout = 900",
}
"""A step may think for long between two statements; what a process holds that falls silent is freed after this."""


class SqlUnitOfWork(UnitOfWork):
    """In: the database, and whom to tell of what became due (namespaces and topics)."""

    session: UserSession

    def __init__(self, database: Database, wake: Callable[[Wakes], None]) -> None:
        self._database = database
        self._wake = wake
        self._writer = writer_for(database.dialect)
        self._open = True
        self._writing = database.writing
        self._writing.__enter__()
        try:
            with translated(database.where):
                self._pool = database.users.pool
                self._connection = database.users.connect()
                try:
                    self._raw = self._begin(database)
                except BaseException as error:
                    database.put_back(self._connection.connection, error)
                    self._connection.close()
                    raise
        except BaseException:
            self._writing.__exit__(None, None, None)
            raise
        self.session = UserSession(self._connection)

    def _begin(self, database: Database) -> Session:
        raw = Session(self._connection.connection, database.dialect, database.clock)
        raw.cursor.execute(database.dialect.begin)
        timeout = IDLE_TIMEOUT.get(database.url.get_backend_name())
        if timeout is not None:
            raw.cursor.execute(timeout)
        return raw

    def commit(self, changes: Sequence[Change], writes: Sequence[Write] = ()) -> Sequence[CommitResult]:
        try:
            for write in writes:
                write(self.session)
            self.session.flush()  # errors of these are the user's own, and stay what they are
            try:
                with translated(self._database.where):
                    return self._commit(changes)
            except StoreUnavailableError:
                known = self._earlier(changes)
                if known is None:
                    raise
                return known
        finally:
            self.close()

    def _commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        wrong = [unfit(change) for change in changes]
        if any(wrong):
            return [results.LOST if why is None else results.bad_data(why) for why in wrong]
        wakes: Wakes = set()
        answers = apply_all(self._writer(self._raw), changes, wakes)
        if any(answer.outcome is not CommitOutcome.APPLIED for answer in answers):
            return only_the_reasons(answers)
        if wakes:
            notify(self._raw, self._database.name, wakes)
        self._raw.commit()
        self._open = False
        if wakes:
            self._wake(wakes)
        return answers

    def _earlier(self, changes: Sequence[Change]) -> Sequence[CommitResult] | None:
        """What is known of a commit whose answer was lost. None: it did not happen."""
        runs = [change for change in changes if isinstance(change, (MoveRun, StartRun))]
        ids = [change.change_id for change in runs]

        def look(session: Session) -> dict[str, tuple[int, int]]:
            return dict(self._writer(session).earlier([change.run_id for change in runs], ids))

        found = self._database.read(look)
        return [results.earlier(*found[change_id]) for change_id in ids] if found.keys() >= set(ids) else None

    def close(self) -> None:
        if self._connection.closed:
            return
        try:
            self.session.release()
            if self._open:
                self._connection.connection.driver_connection.rollback()  # type: ignore[union-attr]
            self._raw.cursor.close()
        except Exception as error:
            self._connection.invalidate()
            if not is_driver_error(error) or diagnose(error) is not Trouble.UNREACHABLE:
                raise
        finally:
            self._connection.close()
            self._database.end_if_closed(self._pool, self._connection.engine)
            self._writing.__exit__(None, None, None)


def apply_all(writer: Any, changes: Sequence[Change], wakes: Wakes) -> list[CommitResult]:
    """Decide and write them in order; the answers."""
    return [answer for wave in waves(changes) for answer in apply_wave(writer, wave, wakes)]


def only_the_reasons(answers: Sequence[CommitResult]) -> list[CommitResult]:
    """Of changes that were undone because some of them did not hold: what was applied for a moment is lost."""
    if all(answer.outcome is CommitOutcome.ALREADY_APPLIED for answer in answers):
        return list(answers)
    return [results.LOST if answer.applied else answer for answer in answers]


def with_writes(
    database: Database, changes: Sequence[Change], writes: Sequence[Write], wake: Callable[[Wakes], None]
) -> Sequence[CommitResult]:
    """All of these and the user's writes, or none; again when the transaction met a conflict."""
    for _ in range(TRIES - 1):
        try:
            return SqlUnitOfWork(database, wake).commit(changes, writes)
        except Exception as error:
            cause = error if is_driver_error(error) else error.__cause__
            if cause is None or not is_driver_error(cause) or diagnose(cause) is not Trouble.CONFLICT:
                raise
    return SqlUnitOfWork(database, wake).commit(changes, writes)


def together(database: Database, changes: Sequence[Change]) -> tuple[list[CommitResult], Wakes]:
    """All of these or none, without writes of the user's; the answers, and what to wake."""
    wrong = [unfit(change) for change in changes]
    if any(wrong):
        return [results.LOST if why is None else results.bad_data(why) for why in wrong], set()
    writer = writer_for(database.dialect)

    def work(session: Session) -> tuple[list[CommitResult], Wakes]:
        wakes: Wakes = set()
        answers = apply_all(writer(session), changes, wakes)
        if any(answer.outcome is not CommitOutcome.APPLIED for answer in answers):
            session.undo()
            return only_the_reasons(answers), set()
        if wakes:
            notify(session, database.name, wakes)
        return answers, wakes

    return database.write(work)

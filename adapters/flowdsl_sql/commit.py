"""Commits groups of changes, and sees to it that one bad change costs the others nothing."""

from __future__ import annotations

from collections.abc import Sequence

from flowdsl.model.change import Change, CommitResult
from flowdsl.model.limits import unfit
from flowdsl_sql.database import Database, Session, Unstorable
from flowdsl_sql.notes import notify
from flowdsl_sql.plain_commit import PlainCommit
from flowdsl_sql.results import LOST, bad_data
from flowdsl_sql.wave import apply_wave, waves
from flowdsl_sql.writers import writer_for


class Commits:
    """Commits groups to one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer = writer_for(database.dialect)
        self._plain = PlainCommit(database) if database.dialect.name == "postgresql" else None

    def commit(self, changes: Sequence[Change]) -> tuple[list[CommitResult], set[tuple[str, str]]]:
        """The results in order, and what to wake: namespaces and topics."""
        results: list[CommitResult] = [LOST] * len(changes)
        wakes: set[tuple[str, str]] = set()
        good: list[int] = []
        for index, change in enumerate(changes):
            wrong = unfit(change)
            if wrong is None:
                good.append(index)
            else:
                results[index] = bad_data(wrong)
        self._commit(changes, good, results, wakes)
        return results, wakes

    def _commit(
        self, changes: Sequence[Change], indexes: Sequence[int], results: list[CommitResult], wakes: set[tuple[str, str]]
    ) -> None:
        """Commit some of the changes together. When the database cannot hold one of them, the halves are tried, so that one bad
        change costs the others nothing."""
        if not indexes:
            return
        group = [changes[index] for index in indexes]

        def work(session: Session) -> tuple[list[CommitResult], set[tuple[str, str]]]:
            writer = self._writer(session)
            mine: set[tuple[str, str]] = set()
            answers: list[CommitResult] = []
            for wave in waves(group):
                answers.extend(apply_wave(writer, wave, mine))
            if mine:
                notify(session, self._database.name, mine)
            return answers, mine

        try:
            plain = None if self._plain is None else self._plain.commit(group)
            if plain is not None:
                done, told = plain
                wakes |= told
                for index in indexes:
                    answer = done.get(changes[index].change_id)
                    if answer is not None:
                        results[index] = answer
                indexes = [index for index in indexes if changes[index].change_id not in done]
                if not indexes:
                    return
                group = [changes[index] for index in indexes]
            answers, mine = self._database.write(work)
        except Unstorable as error:
            if len(indexes) == 1:
                results[indexes[0]] = bad_data(str(error))
                return
            half = len(indexes) // 2
            self._commit(changes, indexes[:half], results, wakes)
            self._commit(changes, indexes[half:], results, wakes)
            return
        wakes |= mine
        for index, answer in zip(indexes, answers, strict=True):
            results[index] = answer

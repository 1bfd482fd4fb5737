"""Runs that start in the transaction of a session that is the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowdsl.errors import ConfigurationError
from flowdsl.model.change import CommitOutcome, Refusal
from flowdsl.testing.contracts.samples import World


class Told:
    """Passed as `committed`: which of these runs the store had each time it was called."""

    def __init__(self, world: World, *run_ids: str) -> None:
        self.calls: list[set[str]] = []
        self._world = world
        self._run_ids = run_ids

    def __call__(self) -> None:
        self.calls.append(set(self._world.store.lookup(self._run_ids)))


def _refuse() -> None:
    raise RuntimeError("no luck")


class JoiningRules:
    """What the store promises of `join`. A store with sessions overrides `session_factory`."""

    @pytest.fixture
    def session_factory(self) -> Callable[[], Any] | None:
        """Opens another session of the user's on the store's database, with begin_nested, commit, rollback and close. None: the
        store has no sessions."""
        return None

    @pytest.fixture
    def session(self, session_factory: Callable[[], Any] | None) -> Iterator[Any]:
        if session_factory is None:
            pytest.skip("the store has no sessions")
        session = session_factory()
        yield session
        session.close()

    def test_a_store_without_sessions_joins_none(self, world: World, session_factory: Callable[[], Any] | None) -> None:
        start = world.start()
        told = Told(world, start.run_id)

        with pytest.raises(ConfigurationError):
            world.store.join(object(), [start], told)

        assert told.calls == []
        assert world.store.lookup([start.run_id]) == {}

    def test_a_run_starts_with_the_commit_of_the_session_and_that_is_told_afterwards(self, world: World, session: Any) -> None:
        start = world.start()
        told = Told(world, start.run_id)

        (result,) = world.store.join(session, [start], told)

        assert result.applied
        assert world.store.lookup([start.run_id]) == {}
        assert told.calls == []
        session.commit()
        assert told.calls == [{start.run_id}]

    def test_what_a_session_undoes_or_never_commits_is_never_told(self, world: World, session: Any) -> None:
        undone, left, kept = world.start(), world.start(), world.start()
        never, after = Told(world), Told(world, undone.run_id, left.run_id, kept.run_id)
        world.store.join(session, [undone], never)
        session.rollback()
        world.store.join(session, [left], never)
        session.close()
        world.store.join(session, [kept], after)
        session.commit()

        assert never.calls == []
        assert after.calls == [{kept.run_id}]

    def test_each_transaction_of_a_session_tells_of_its_own_runs_once(self, world: World, session: Any) -> None:
        first, second, third = world.start(), world.start(), world.start()
        told = [Told(world, first.run_id, second.run_id, third.run_id) for _ in range(3)]
        world.store.join(session, [first], told[0])
        world.store.join(session, [second], told[1])
        session.commit()
        world.store.join(session, [third], told[2])
        session.commit()
        session.commit()

        both = {first.run_id, second.run_id}
        assert [one.calls for one in told] == [[both], [both], [both | {third.run_id}]]

    def test_the_release_of_a_savepoint_commits_nothing(self, world: World, session: Any) -> None:
        outer, inner = world.start(), world.start()
        told = Told(world, outer.run_id, inner.run_id)
        world.store.join(session, [outer], told)
        with session.begin_nested(), session.begin_nested():
            world.store.join(session, [inner], told)

        assert told.calls == []
        session.commit()
        assert told.calls == [{outer.run_id, inner.run_id}] * 2

    def test_what_is_undone_to_a_savepoint_is_not_told_though_the_session_commits(self, world: World, session: Any) -> None:
        outer, inner = world.start(), world.start()
        of_outer, of_inner = Told(world, outer.run_id, inner.run_id), Told(world)
        world.store.join(session, [outer], of_outer)
        savepoint = session.begin_nested()
        with session.begin_nested():
            world.store.join(session, [inner], of_inner)
        savepoint.rollback()
        session.commit()

        assert of_inner.calls == []
        assert of_outer.calls == [{outer.run_id}]

    def test_an_error_of_who_is_told_stays_out_of_the_commit(
        self, world: World, session: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        first, second = world.start(), world.start()
        told = Told(world, first.run_id, second.run_id)
        world.store.join(session, [first], _refuse)
        world.store.join(session, [second], told)

        session.commit()

        assert told.calls == [{first.run_id, second.run_id}]
        assert "no luck" in caplog.text

    def test_a_start_that_is_refused_is_answered_and_the_session_commits_the_rest(self, world: World, session: Any) -> None:
        taken = world.started()
        start = world.start(taken.foreign_id)

        (result,) = world.store.join(session, [start], Told(world))
        session.commit()

        assert (result.outcome, result.refusal) == (CommitOutcome.REFUSED, Refusal.IN_PROGRESS)
        assert result.run_id == taken.run_id
        assert world.store.lookup([start.run_id]) == {}

"""What becomes of rows in hand when the role under which they were taken goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.executor import InlineExecutor
from flowdsl.engine.role_keeper import SAFE_PART
from flowdsl.errors import StoreUnavailableError
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.change import Change, CommitResult
from flowdsl.model.instance import Lease
from flowdsl.model.pending import ClaimedRow, TopicQuota
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.unit.engine.script import Order, Status

LEASE = timedelta(seconds=15)


class Favourites(MemoryRoleScheduler):
    """Grants roles to one member only."""

    favourite: str | None = None

    def campaign(self, member: str, roles: Sequence[str], ttl: timedelta) -> Sequence[Lease]:
        wanted = roles if self.favourite in (None, member) else ()
        return super().campaign(member, wanted, ttl)


def narrow() -> Workflow[Order, Status]:
    """One consumer in the fleet, one body at a time."""
    workflow = Workflow("orders", object_type=Order, status_type=Status, retired=[Status.SHIPPED])

    @workflow.step(from_=Status.CREATED, to=Status.PAID, parallel_count=1, concurrency=1)
    def charge(run: Run[Order, Status]) -> Status:
        return Status.PAID

    return workflow


def test_rows_that_wait_in_a_lane_are_given_back_when_its_role_is_lost() -> None:
    workflow, clock = narrow(), ManualClock()
    roles = Favourites(clock)
    with SteppedEngine(workflow, clock=clock, roles=roles, handoff=False) as loser:
        lane = loser.worker.dispatcher._lanes[0]
        lane._pace = 0.001  # bodies were quick: rows are claimed ahead of them
        handles = [loser.trigger(workflow, f"o-{number}", Order(1)) for number in range(4)]
        loser.worker.dispatcher.step()
        assert lane.open == 4
        with SteppedEngine(workflow, clock=clock, store=loser.store, roles=roles, seed=1, handoff=False) as winner:
            roles.favourite = winner.worker.membership._instance.owner  # type: ignore[union-attr]
            clock.advance(LEASE)
            loser.worker.roles.step()
            assert lane.open == 1, "the one that is about to run"
            winner.advance(timedelta(minutes=2))
            loser.run_until_idle()
            winner.run_until_idle()
        assert [handle.record().state for handle in handles] == [RunState.COMPLETED] * 4
        assert lane.open == 0


class Slow(MemoryRoleScheduler):
    """Something happens while it campaigns."""

    meanwhile: Callable[[], object] | None = None

    def campaign(self, member: str, roles: Sequence[str], ttl: timedelta) -> Sequence[Lease]:
        found = super().campaign(member, roles, ttl)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return found


def test_rows_that_wait_are_not_forgotten_when_a_lease_runs_out_before_its_renewal_is_answered() -> None:
    workflow, clock = narrow(), ManualClock()
    roles = Slow(clock)
    with SteppedEngine(workflow, clock=clock, roles=roles, handoff=False) as engine:
        lane = engine.worker.dispatcher._lanes[0]
        lane._pace = 0.001  # bodies were quick: rows are claimed ahead of them
        handles = [engine.trigger(workflow, f"o-{number}", Order(1)) for number in range(4)]
        engine.worker.dispatcher.step()
        assert lane.open == 4
        clock.advance(LEASE * SAFE_PART - timedelta(milliseconds=100))

        executor = engine.worker.executor
        assert isinstance(executor, InlineExecutor)

        def late() -> None:
            clock.advance(timedelta(seconds=1))
            assert lane.slots == 0
            executor.step()  # the body that runs ends now, and begins none of those that wait

        roles.meanwhile = late
        engine.worker.roles.step()
        assert lane.slots == 1

        engine.advance(timedelta(seconds=10))

        assert [handle.record().state for handle in handles] == [RunState.COMPLETED] * 4
        assert lane.open == 0


class Interrupted(SteppedEngine):
    """Loses its roles while the store answers its claim."""

    def lose_roles_during_the_next_claim(self) -> None:
        claim = self.store.claim

        def slow(namespace: str, owner: str, quotas: Sequence[TopicQuota]) -> Sequence[ClaimedRow]:
            found = claim(namespace, owner, quotas)
            self.store.claim = claim  # type: ignore[method-assign]
            self.roles.favourite = "nobody"  # type: ignore[attr-defined]
            self.worker.membership.cover(LEASE)
            self.clock.advance(LEASE)
            self.worker.roles.step()
            return found

        self.store.claim = slow  # type: ignore[method-assign]


def test_rows_claimed_while_the_role_went_are_given_back() -> None:
    workflow, clock = narrow(), ManualClock()
    with Interrupted(workflow, clock=clock, roles=Favourites(clock), handoff=False) as engine:
        handle = engine.trigger(workflow, "o", Order(1))
        engine.lose_roles_during_the_next_claim()

        engine.worker.dispatcher.step()
        clock.advance(LEASE / 3)
        engine.run_until_idle()

        (row,) = handle.pending()
        assert (row.owner, row.attempts, row.lapses) == (None, 0, 0)
        assert handle.record().state is RunState.INITIATED


class Silent(MemoryRecordStore):
    """A store that cannot answer the next commit."""

    silent = False

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        if self.silent:
            self.silent = False
            raise StoreUnavailableError("the store is away.")
        return super().commit(changes)


def test_rows_whose_return_the_store_did_not_answer_are_given_back_again() -> None:
    workflow, clock = narrow(), ManualClock()
    roles, store = Favourites(clock), Silent(clock)
    with SteppedEngine(workflow, clock=clock, store=store, roles=roles, handoff=False) as loser:
        loser.worker.dispatcher._lanes[0]._pace = 0.001
        handles = [loser.trigger(workflow, f"o-{number}", Order(1)) for number in range(4)]
        loser.worker.dispatcher.step()
        roles.favourite = "somebody else"
        loser.worker.membership.cover(LEASE)
        clock.advance(LEASE)
        loser.worker.roles.step()

        store.silent = True
        loser._the_core().committer.step()
        loser.advance(timedelta(seconds=5))

        held = [handle for handle in handles if any(row.owner is not None for row in handle.pending())]
        assert not held, "this process lives on, and nobody else may have them"


def test_a_consumer_stops_before_its_lease_could_pass_to_another_though_nobody_comes_to_see_to_it() -> None:
    """The thread that renews leases may be held up by a heartbeat that the store does not answer."""
    workflow, clock = narrow(), ManualClock()
    with SteppedEngine(workflow, clock=clock) as engine:
        lane = engine.worker.dispatcher._lanes[0]
        engine.trigger(workflow, "o-1", Order(1))
        engine.run_until_idle()
        engine.worker.membership.cover(LEASE)
        assert lane.slots == 1

        clock.advance(LEASE * SAFE_PART)
        handle = engine.trigger(workflow, "o-2", Order(1))

        assert lane.slots == lane.room() == lane.open == 0, "nothing is handed over either"
        assert not engine.worker.dispatcher.step()
        assert handle.record().state is RunState.INITIATED
        engine.run_until_idle()
        assert handle.record().state is RunState.COMPLETED, "the lease is renewed"


def test_rows_that_wait_in_a_lane_are_not_begun_once_its_lease_has_ended() -> None:
    workflow, clock = narrow(), ManualClock()
    with SteppedEngine(workflow, clock=clock, handoff=False) as engine:
        lane = engine.worker.dispatcher._lanes[0]
        lane._pace = 0.001
        for number in range(3):
            engine.trigger(workflow, f"o-{number}", Order(1))
        engine.worker.dispatcher.step()
        assert (lane.open, lane.running) == (3, 1)

        clock.advance(LEASE * SAFE_PART)

        assert lane.finish(0.001) is None
        assert lane.running == 0

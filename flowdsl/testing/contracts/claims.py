"""Claims: who gets which row, and what becomes of it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from flowdsl.model.change import Change, CommitOutcome, DropRow, FailRow, ParkRow, ReleaseRow
from flowdsl.model.instance import Instance
from flowdsl.model.lapse import rest
from flowdsl.model.pending import NewRow, RowKind, TopicQuota
from flowdsl.model.query import RunQuery
from flowdsl.model.run_state import RunState
from flowdsl.testing.contracts.samples import NAMESPACE, SECOND, TTL, World

CREATED = "orders/created"


class ClaimRules:
    def test_a_claim_brings_the_row_and_its_run(self, world: World) -> None:
        record, owner = world.started(), world.owner()
        claimed = world.claim_one(owner)
        assert claimed.run == record
        row = claimed.row
        assert (row.row_id, row.run_id, row.topic, row.version) == (record.run_id, record.run_id, CREATED, 1)
        assert (row.owner, row.delivery, row.attempts, row.lapses) == (owner, 1, 0, 0)
        assert row.due_at == row.created_at == world.clock.now()

    def test_a_claimed_row_is_nobody_elses(self, world: World) -> None:
        world.started()
        assert len(world.claim(world.owner())) == 1
        assert world.claim(world.owner()) == []

    def test_each_topic_has_its_quota(self, world: World) -> None:
        for _ in range(3):
            world.started()
            world.started(row=None, status="paid")
        for record in world.store.runs(RunQuery(limit=100)).runs:
            if record.status == "paid":
                world.commit(world.move(record))
        quotas = [TopicQuota(CREATED, 2), TopicQuota("orders/paid", 1), TopicQuota("orders/none", 5)]
        topics = [claimed.row.topic for claimed in world.store.claim(NAMESPACE, world.owner(), quotas)]
        assert sorted(topics) == [CREATED, CREATED, "orders/paid"]

    def test_a_row_of_a_run_that_moved_on_is_in_its_new_topic_alone(self, world: World) -> None:
        records = [world.started() for _ in range(2)]
        owner = world.owner()
        for record in records:
            world.commit(world.move(record, "paid"))
        assert world.claim(owner) == []
        assert world.store.depths(NAMESPACE, [CREATED])[CREATED].due == 0
        assert len(world.claim(owner, "orders/paid")) == 2

    def test_a_claim_of_nothing_gets_nothing(self, world: World) -> None:
        world.started()
        owner = world.owner()
        assert list(world.store.claim(NAMESPACE, owner, [])) == []
        assert list(world.store.claim(NAMESPACE, owner, [TopicQuota(CREATED, 0)])) == []

    def test_the_oldest_due_come_first_and_a_higher_priority_before_them(self, world: World) -> None:
        order = []
        for priority in (0, 0, 5, 0):
            order.append(world.started(priority=priority, row=None))
            world.clock.advance(SECOND)
        for record in order:
            world.commit(world.move(record, row=NewRow(row_id=record.run_id, topic=CREATED, priority=record.priority)))
            world.clock.advance(SECOND)
        owner = world.owner()
        got = [world.store.claim(NAMESPACE, owner, [TopicQuota(CREATED, 1)])[0].row.run_id for _ in range(4)]
        assert got == [order[i].run_id for i in (2, 0, 1, 3)]

    def test_a_row_is_not_claimed_before_it_is_due(self, world: World) -> None:
        run_id = world.new_id("run")
        world.started(run_id=run_id, row=NewRow(row_id=run_id, topic=CREATED, delay=timedelta(seconds=5)))
        owner = world.owner()
        world.clock.advance(timedelta(seconds=5) - timedelta(microseconds=1))
        assert world.claim(owner) == []
        world.clock.advance(timedelta(microseconds=1))
        assert len(world.claim(owner)) == 1

    def test_rows_of_another_namespace_are_not_ours(self, world: World) -> None:
        world.started(namespace="other")
        assert world.claim(world.owner()) == []

    def test_an_owner_without_a_live_heartbeat_gets_nothing(self, world: World) -> None:
        world.started()
        assert world.claim("stranger") == []
        owner = world.owner()
        world.clock.advance(TTL + SECOND)
        assert world.claim(owner) == []
        assert list(world.store.claim_rows(NAMESPACE, owner, [world.started().run_id])) == []

    def test_named_rows_can_be_claimed(self, world: World) -> None:
        first, second, owner = world.started(), world.started(), world.owner()
        got = world.store.claim_rows(NAMESPACE, owner, [second.run_id, "nobody", second.run_id])
        assert [claimed.row.run_id for claimed in got] == [second.run_id]
        assert list(world.store.claim_rows(NAMESPACE, owner, [second.run_id])) == []
        assert [claimed.row.run_id for claimed in world.claim(owner)] == [first.run_id]

    def test_named_rows_that_are_not_due_are_not_claimed(self, world: World) -> None:
        run_id = world.new_id("run")
        world.started(run_id=run_id, row=NewRow(row_id=run_id, topic=CREATED, delay=SECOND))
        assert list(world.store.claim_rows(NAMESPACE, world.owner(), [run_id])) == []

    def test_a_row_can_be_born_claimed(self, world: World) -> None:
        owner, run_id = world.owner(), world.new_id("run")
        record = world.started(run_id=run_id, row=NewRow(row_id=run_id, topic=CREATED, owner=owner))
        assert world.claim(world.owner()) == []
        (row,) = world.store.rows([record.run_id])
        assert (row.owner, row.delivery) == (owner, 1)

    def test_a_move_replaces_a_claimed_row(self, world: World) -> None:
        owner, record = world.owner(), world.started()
        world.claim_one(owner)
        world.commit(world.move(record, "paid"))
        assert world.claim(world.owner(), CREATED) == []
        claimed = world.claim_one(world.owner(), "orders/paid")
        assert (claimed.row.delivery, claimed.row.version) == (1, 2)

    def test_a_failed_attempt_is_counted_kept_and_due_later(self, world: World) -> None:
        owner, record = world.owner(), world.started()
        for attempt in (1, 2):
            claimed = world.claim_one(owner)
            assert (claimed.row.attempts, claimed.row.delivery) == (attempt - 1, attempt)
            result = world.commit(_fail(world, claimed.row.row_id, owner, claimed.row.delivery, f"error {attempt}"))
            assert (result.outcome, result.requested) == (CommitOutcome.APPLIED, None)
            (row,) = world.store.rows([record.run_id])
            assert (row.attempts, row.last_error, row.owner) == (attempt, f"error {attempt}", None)
            assert row.due_at == world.clock.now() + SECOND
            assert world.claim(owner) == []
            world.clock.advance(SECOND)
        assert world.run(record.run_id) == record, "a failure never touches the run's version"

    def test_a_failure_without_a_wait_is_due_at_once(self, world: World) -> None:
        owner, record = world.owner(), world.started()
        claimed = world.claim_one(owner)
        world.commit(_fail(world, record.run_id, owner, claimed.row.delivery, "e", timedelta(0)))
        assert len(world.claim(owner)) == 1

    def test_a_claim_is_of_one_version_where_that_is_said(self, world: World) -> None:
        """The row of the next version begins to count anew, and the same owner may have it."""
        owner, record = world.owner(), world.started()
        claimed = world.claim_one(owner)
        row = NewRow(row_id=record.run_id, topic="orders/paid", owner=owner)
        world.commit(world.move(record, "paid", row=row))
        (before,) = world.store.rows([record.run_id])
        assert (before.owner, before.delivery, before.version) == (owner, claimed.row.delivery, 2)
        claim: dict[str, Any] = {"row_id": record.run_id, "owner": owner, "delivery": before.delivery}
        late: list[Change] = [
            FailRow(change_id=world.new_id(), **claim, version=1, error="late", delay=SECOND),
            ReleaseRow(change_id=world.new_id(), **claim, version=1),
            ParkRow(change_id=world.new_id(), **claim, version=1),
            DropRow(change_id=world.new_id(), **claim, version=1),
        ]
        assert {result.outcome for result in world.store.commit(late)} == {CommitOutcome.LOST}
        assert list(world.store.rows([record.run_id])) == [before]
        assert world.commit(ReleaseRow(change_id=world.new_id(), **claim, version=2)).outcome is CommitOutcome.APPLIED

    def test_what_is_said_under_a_stale_claim_is_lost(self, world: World) -> None:
        owner, record = world.owner(), world.started()
        claimed = world.claim_one(owner)
        world.commit(_fail(world, record.run_id, owner, claimed.row.delivery, "first", timedelta(0)))
        world.claim_one(owner)
        (before,) = world.store.rows([record.run_id])
        old, new, row_id, stranger = claimed.row.delivery, before.delivery, record.run_id, world.owner()
        changes: list[Change] = [
            _fail(world, row_id, owner, old, "stale"),
            ReleaseRow(change_id=world.new_id(), row_id=row_id, owner=owner, delivery=old),
            ParkRow(change_id=world.new_id(), row_id=row_id, owner=owner, delivery=old),
            DropRow(change_id=world.new_id(), row_id=row_id, owner=owner, delivery=old),
            _fail(world, row_id, stranger, new, "stranger"),
            ReleaseRow(change_id=world.new_id(), row_id="nobody", owner=owner, delivery=old),
        ]
        assert [result.outcome for result in world.store.commit(changes)] == [CommitOutcome.LOST] * 6
        assert list(world.store.rows([record.run_id])) == [before]

    def test_a_row_given_back_has_counted_a_delivery_and_nothing_else(self, world: World) -> None:
        owner, record = world.owner(), world.started()
        (before,) = world.store.rows([record.run_id])
        claimed = world.claim_one(owner)
        release = ReleaseRow(change_id=world.new_id(), row_id=record.run_id, owner=owner, delivery=claimed.row.delivery)
        assert world.commit(release).applied
        assert list(world.store.rows([record.run_id])) == [replace(before, delivery=1)]
        again = world.claim_one(world.owner()).row
        assert (again.delivery, again.attempts, again.lapses) == (2, 0, 0)

    def test_a_row_that_is_given_back_twice_is_not_taken_from_a_later_claim_of_its_own_owner(self, world: World) -> None:
        """The first answer was lost, say, and the owner asked once more."""
        owner, record = world.owner(), world.started()
        first = world.claim_one(owner).row
        give_back: dict[str, Any] = {"row_id": record.run_id, "owner": owner, "delivery": first.delivery, "version": 1}
        assert world.commit(ReleaseRow(change_id=world.new_id(), **give_back)).applied
        second = world.claim_one(owner).row
        assert world.commit(ReleaseRow(change_id=world.new_id(), **give_back)).outcome is CommitOutcome.LOST
        assert list(world.store.rows([record.run_id])) == [second]

    def test_a_parked_row_is_kept_and_never_due(self, world: World) -> None:
        owner, record = world.owner(), world.started()
        claimed = world.claim_one(owner)
        park = ParkRow(change_id=world.new_id(), row_id=record.run_id, owner=owner, delivery=claimed.row.delivery)
        assert world.commit(park).applied
        world.clock.advance(timedelta(days=400))
        assert world.claim(world.owner()) == []
        (row,) = world.store.rows([record.run_id])
        assert (row.due_at, row.owner) == (None, None)
        assert list(world.store.unattended(NAMESPACE, "orders", ["created"], "", 10)) == []
        world.commit(world.move(record, "paid"))
        assert len(world.claim(world.owner(), "orders/paid")) == 1

    def test_giving_up_a_claim_twice_says_so_until_somebody_has_claimed_the_row_again(self, world: World) -> None:
        owner, other = world.owner(), world.owner()
        for number in range(3):
            record = world.started()
            row = world.claim_one(owner).row
            change_id, delivery = world.new_id(), row.delivery
            changes: list[Change] = [
                FailRow(change_id=change_id, row_id=row.row_id, owner=owner, delivery=delivery, error="E", delay=SECOND),
                ReleaseRow(change_id=change_id, row_id=row.row_id, owner=owner, delivery=delivery),
                ParkRow(change_id=change_id, row_id=row.row_id, owner=owner, delivery=delivery),
            ]
            assert world.commit(changes[number]).outcome is CommitOutcome.APPLIED
            after = world.store.rows([record.run_id])
            assert world.commit(changes[number]).outcome is CommitOutcome.ALREADY_APPLIED
            assert world.store.rows([record.run_id]) == after
            world.clock.advance(SECOND)
            if world.claim(other):
                assert world.commit(changes[number]).outcome is CommitOutcome.LOST

    def test_a_dropped_row_is_gone_and_its_run_unattended(self, world: World) -> None:
        owner, record = world.owner(), world.started()
        claimed = world.claim_one(owner)
        drop = DropRow(change_id=world.new_id(), row_id=record.run_id, owner=owner, delivery=claimed.row.delivery)
        assert world.commit(drop).applied
        assert list(world.store.rows([record.run_id])) == []
        assert [run.run_id for run in world.store.unattended(NAMESPACE, "orders", ["created"], "", 10)] == [record.run_id]

    def test_claims_of_a_lapsed_heartbeat_are_freed_and_counted(self, world: World) -> None:
        owner, record = world.owner(), world.started()
        world.claim_one(owner)
        other = world.owner()
        assert world.store.free_lapsed(NAMESPACE) == 0
        world.clock.advance(TTL - SECOND)
        assert world.store.beat(NAMESPACE, Instance(owner=other), TTL)
        world.clock.advance(SECOND * 2)
        assert world.store.free_lapsed(NAMESPACE) == 1
        claimed = world.claim_one(other)
        assert (claimed.row.run_id, claimed.row.lapses, claimed.row.attempts, claimed.row.delivery) == (record.run_id, 1, 0, 2)
        assert world.store.free_lapsed(NAMESPACE) == 0

    def test_a_row_that_is_lost_again_and_again_rests_longer_each_time(self, world: World) -> None:
        record, rests = world.started(), []
        for _ in range(12):
            world.claim_one(world.owner())
            world.clock.advance(TTL + SECOND)
            assert world.store.free_lapsed(NAMESPACE) == 1
            (row,) = world.store.rows([record.run_id])
            assert row.due_at is not None
            rests.append(row.due_at - world.clock.now())
            if rests[-1]:
                assert world.claim(world.owner()) == []
            world.clock.advance(rests[-1])
        assert rests == [rest(record.run_id, lapses) for lapses in range(1, 13)]
        assert (rests[0], max(rests) > SECOND) == (timedelta(0), True)

    def test_a_heartbeat_that_lapsed_is_told_so(self, world: World) -> None:
        owner = world.owner()
        world.clock.advance(TTL + SECOND)
        assert not world.store.beat(NAMESPACE, Instance(owner=owner), TTL), "also before anybody has freed its claims"
        world.store.free_lapsed(NAMESPACE)
        assert not world.store.beat(NAMESPACE, Instance(owner=owner), TTL)
        assert owner not in [instance.owner for instance in world.store.instances(NAMESPACE)]

    def test_owners_known_to_be_dead_are_freed_before_their_heartbeat_lapses(self, world: World) -> None:
        owner, other = world.owner(), world.owner()
        world.started()
        world.claim_one(owner)
        assert world.store.free_lapsed(NAMESPACE, [owner]) == 1
        assert not world.store.beat(NAMESPACE, Instance(owner=owner), TTL)
        assert world.claim_one(other).row.lapses == 1

    def test_rows_born_claimed_by_nobody_alive_are_freed_too(self, world: World) -> None:
        run_id = world.new_id("run")
        world.started(run_id=run_id, row=NewRow(row_id=run_id, topic=CREATED, owner="gone"))
        assert world.store.free_lapsed(NAMESPACE) == 1
        assert world.claim_one(world.owner()).row.run_id == run_id

    def test_leaving_frees_claims_without_counting(self, world: World) -> None:
        owner = world.owner()
        world.started()
        world.claim_one(owner)
        world.store.leave(NAMESPACE, owner)
        world.store.leave(NAMESPACE, "unknown")
        claimed = world.claim_one(world.owner())
        assert claimed.row.lapses == 0
        assert owner not in [instance.owner for instance in world.store.instances(NAMESPACE)]

    def test_instances_are_listed_as_they_said_they_are(self, world: World) -> None:
        instance = Instance(owner=world.new_id("owner"), host="h", pid=7, pid_started="s")
        world.store.beat(NAMESPACE, instance, TTL)
        found = {one.owner: one for one in world.store.instances(NAMESPACE)}[instance.owner]
        assert replace(found, expires_at=None) == instance
        assert found.expires_at is None or world.store.now() < found.expires_at <= world.store.now() + TTL
        assert instance.owner not in {one.owner for one in world.store.instances("other")}

    def test_the_next_due_time_is_that_of_unclaimed_rows(self, world: World) -> None:
        topics = [CREATED, "orders/paid"]
        assert world.store.next_due(NAMESPACE, topics) is None
        run_id = world.new_id("run")
        world.started(run_id=run_id, row=NewRow(row_id=run_id, topic=CREATED, delay=timedelta(hours=1)))
        later = world.clock.now() + timedelta(hours=1)
        assert world.store.next_due(NAMESPACE, topics) == later
        world.started()
        assert world.store.next_due(NAMESPACE, topics) == world.clock.now()
        world.claim(world.owner())
        assert world.store.next_due(NAMESPACE, topics) == later
        assert world.store.next_due(NAMESPACE, ["orders/paid"]) is None

    def test_depths_count_what_waits(self, world: World) -> None:
        for delay in (0, 0, 60):
            run_id = world.new_id("run")
            world.started(run_id=run_id, row=NewRow(row_id=run_id, topic=CREATED, delay=timedelta(seconds=delay)))
        world.clock.advance(timedelta(seconds=10))
        world.claim(world.owner(), limit=1)
        depths = world.store.depths(NAMESPACE, [CREATED, "orders/none"])
        assert (depths[CREATED].due, depths[CREATED].oldest, depths[CREATED].waiting) == (1, timedelta(seconds=10), 1)
        assert (depths["orders/none"].due, depths["orders/none"].waiting) == (0, 0)

    def test_listeners_hear_of_rows_that_anybody_may_claim(self, world: World) -> None:
        heard: list[str] = []
        news = threading.Event()

        def wake(topics: Sequence[str]) -> None:
            heard.extend(topics)
            news.set()

        unlisten = world.store.listen(NAMESPACE, wake)
        try:
            world.started()
            assert news.wait(10)
            assert CREATED in heard or not heard, "the topic, or nothing for `anything may have come`"
        finally:
            unlisten()

    def test_runs_that_should_have_a_row_and_have_none_are_found(self, world: World) -> None:
        bare = sorted(world.started(row=None).run_id for _ in range(3))
        world.started()
        paused = world.started(row=None)
        world.commit(world.stop(paused, RunState.PAUSED))
        other = world.started(row=None, status="paid")
        store = world.store
        assert [run.run_id for run in store.unattended(NAMESPACE, "orders", ["created"], "", 2)] == bare[:2]
        assert [run.run_id for run in store.unattended(NAMESPACE, "orders", ["created"], bare[1], 2)] == bare[2:]
        assert [run.run_id for run in store.unattended(NAMESPACE, "orders", ["paid"], "", 9)] == [other.run_id]
        assert list(store.unattended(NAMESPACE, "refunds", ["created"], "", 9)) == []
        assert list(store.unattended(NAMESPACE, "orders", [], "", 9)) == []

    def test_a_side_row_does_not_attend_a_run(self, world: World) -> None:
        record = world.started()
        hook = NewRow(row_id=f"{record.run_id}/h", topic="orders/h", kind=RowKind.HOOK)
        world.commit(world.move(record, row=None, side_rows=(hook,)))
        assert [run.run_id for run in world.store.unattended(NAMESPACE, "orders", ["created"], "", 9)] == [record.run_id]


def _fail(world: World, row_id: str, owner: str, delivery: int, error: str, delay: timedelta = SECOND) -> FailRow:
    return FailRow(change_id=world.new_id(), row_id=row_id, owner=owner, delivery=delivery, error=error, delay=delay)

"""Changes that commit together: all of them or none."""

from __future__ import annotations

from flowdsl.model.change import Change, CommitOutcome, Refusal
from flowdsl.model.item import NewItem
from flowdsl.testing.contracts.samples import World


class TogetherRules:
    """What the store promises of `commit_together`."""

    def test_changes_commit_together(self, world: World) -> None:
        record, start = world.started(), world.start()
        move = world.move(record, "paid")

        results = world.store.commit_together([start, move])

        assert [result.outcome for result in results] == [CommitOutcome.APPLIED] * 2
        assert world.run(start.run_id).status == "created"
        assert world.run(record.run_id).status == "paid"
        assert len(world.claim(world.owner(), "orders/created", "orders/paid")) == 2

    def test_a_start_that_is_refused_leaves_everything_as_it_was(self, world: World) -> None:
        record, other = world.started(), world.started()
        fine, taken = world.start(), world.start(other.foreign_id)

        results = world.store.commit_together([fine, taken, world.move(record, "paid")])

        assert [result.outcome for result in results] == [CommitOutcome.LOST, CommitOutcome.REFUSED, CommitOutcome.LOST]
        assert (results[1].refusal, results[1].run_id) == (Refusal.IN_PROGRESS, other.run_id)
        assert world.store.lookup([fine.run_id]) == {}
        assert world.run(record.run_id) == record
        assert len(world.store.history(record.run_id)) == 1

    def test_a_move_that_is_late_leaves_everything_as_it_was(self, world: World) -> None:
        record, start = world.started(), world.start(items=(NewItem(kind="trigger_key", key=world.new_id("key")),))
        late = world.move(record, "paid")
        world.commit(world.move(record, "shipped"))

        results = world.store.commit_together([start, late])

        assert [result.outcome for result in results] == [CommitOutcome.LOST, CommitOutcome.LOST]
        assert world.store.lookup([start.run_id]) == {}
        assert world.store.item("default", "trigger_key", start.items[0].key) is None

    def test_two_starts_of_one_foreign_id_do_not_commit_together(self, world: World) -> None:
        first = world.start()
        second = world.start(first.foreign_id)

        results = world.store.commit_together([first, second])

        assert Refusal.IN_PROGRESS in [result.refusal for result in results]
        assert world.store.lookup([first.run_id, second.run_id]) == {}

    def test_two_changes_with_one_item_do_not_commit_together(self, world: World) -> None:
        record, key = world.started(), world.new_id("key")
        start = world.start(items=(NewItem(kind="trigger_key", key=key, body=b"first"),))
        move = world.move(record, "paid", items=(NewItem(kind="trigger_key", key=key),))

        results = world.store.commit_together([start, move])

        assert [result.outcome for result in results] == [CommitOutcome.LOST, CommitOutcome.REFUSED]
        assert (results[1].refusal, results[1].item) == (Refusal.KEY_TAKEN, b"first")
        assert world.store.lookup([start.run_id]) == {}
        assert world.run(record.run_id) == record
        assert world.store.item("default", "trigger_key", key) is None

    def test_committing_together_twice_applies_once(self, world: World) -> None:
        record, start = world.started(), world.start()
        changes: list[Change] = [start, world.move(record, "paid")]
        world.store.commit_together(changes)

        assert [result.outcome for result in world.store.commit_together(changes)] == [CommitOutcome.ALREADY_APPLIED] * 2
        assert world.run(record.run_id).version == 2

    def test_a_change_that_no_store_can_hold_leaves_everything_as_it_was(self, world: World) -> None:
        record, start = world.started(), world.start("x" * 300)

        results = world.store.commit_together([start, world.move(record, "paid")])

        assert [result.refusal for result in results] == [Refusal.BAD_DATA, None]
        assert world.run(record.run_id) == record

"""Items: unique keys and due times that commit together with whatever needs them."""

from __future__ import annotations

from datetime import timedelta

from flowdsl.model.change import CommitOutcome, PutItems, Refusal
from flowdsl.model.item import ItemKey, NewItem
from flowdsl.model.run_state import RunState
from flowdsl.testing.contracts.samples import NAMESPACE, SECOND, World


class ItemRules:
    def test_an_item_is_stored_with_the_run_that_brings_it(self, world: World) -> None:
        record = world.started(items=(NewItem(kind="k", key="schlüssel", body=b"\0body"),))
        item = world.store.item(NAMESPACE, "k", "schlüssel")
        assert item is not None
        assert (item.body, item.due_at, item.created_at) == (b"\0body", None, record.created_at)
        assert world.store.item(NAMESPACE, "k", "nothing") is None
        assert world.store.item("other", "k", "schlüssel") is None
        assert world.store.item(NAMESPACE, "other", "schlüssel") is None

    def test_a_taken_key_refuses_the_whole_start_and_tells_what_has_it(self, world: World) -> None:
        world.started(items=(NewItem(kind="k", key="a", body=b"first"),))
        change = world.start(items=(NewItem(kind="k", key="b"), NewItem(kind="k", key="a", body=b"second")))
        result = world.commit(change)
        assert (result.outcome, result.refusal) == (CommitOutcome.REFUSED, Refusal.KEY_TAKEN)
        assert (result.detail, result.item) == ("a", b"first")
        assert world.store.lookup([change.run_id]) == {}
        assert world.store.item(NAMESPACE, "k", "b") is None

    def test_two_starts_with_one_key_in_one_commit_start_one_run(self, world: World) -> None:
        first = world.start(items=(NewItem(kind="k", key="a", body=b"first"),))
        second = world.start(items=(NewItem(kind="k", key="a", body=b"second"),))
        results = world.store.commit([first, second])
        assert results[0].applied
        assert (results[1].refusal, results[1].item) == (Refusal.KEY_TAKEN, b"first")

    def test_an_unfinished_run_and_a_taken_key_at_once_leave_nothing(self, world: World) -> None:
        world.started("order-1", items=(NewItem(kind="k", key="a", body=b"first"),))
        result = world.commit(world.start("order-1", items=(NewItem(kind="k", key="a"),)))
        assert result.refusal in (Refusal.KEY_TAKEN, Refusal.IN_PROGRESS)
        fresh = world.start("order-1", items=(NewItem(kind="k", key="fresh"),))
        assert world.commit(fresh).refusal is Refusal.IN_PROGRESS
        assert world.store.item(NAMESPACE, "k", "fresh") is None

    def test_a_taken_key_refuses_a_move(self, world: World) -> None:
        record = world.started(items=(NewItem(kind="k", key="a"),))
        result = world.commit(world.move(record, "paid", items=(NewItem(kind="k", key="a"),)))
        assert result.refusal is Refusal.KEY_TAKEN
        assert world.run(record.run_id) == record
        (row,) = world.store.rows([record.run_id])
        assert row.topic == "orders/created"

    def test_a_lost_move_brings_and_drops_no_item(self, world: World) -> None:
        record = world.started(items=(NewItem(kind="k", key="old"),))
        world.commit(world.move(record, "paid"))
        late = world.move(record, "x", items=(NewItem(kind="k", key="new"),), drop_items=(ItemKey("k", "old"),))
        assert world.commit(late).outcome is CommitOutcome.LOST
        assert world.store.item(NAMESPACE, "k", "new") is None
        assert world.store.item(NAMESPACE, "k", "old") is not None

    def test_a_move_brings_replaces_and_drops_items(self, world: World) -> None:
        record = world.started(items=(NewItem(kind="k", key="a", body=b"1"), NewItem(kind="k", key="b")))
        replacing = NewItem(kind="k", key="a", body=b"2", delay=SECOND, replace=True)
        drop = (ItemKey("k", "b"), ItemKey("k", "nothing"))
        assert world.commit(world.stop(record, RunState.PAUSED, items=(replacing,), drop_items=drop)).applied
        item = world.store.item(NAMESPACE, "k", "a")
        assert item is not None
        assert (item.body, item.due_at) == (b"2", world.clock.now() + SECOND)
        assert world.store.item(NAMESPACE, "k", "b") is None

    def test_items_stand_alone_too(self, world: World) -> None:
        put = PutItems(change_id=world.new_id(), namespace=NAMESPACE, items=(NewItem(kind="k", key="a", body=b"1"),))
        assert world.commit(put).applied
        assert world.commit(put).outcome is CommitOutcome.ALREADY_APPLIED, "it is this very change's"
        again = PutItems(change_id=world.new_id(), namespace=NAMESPACE, items=put.items)
        assert world.commit(again).refusal is Refusal.KEY_TAKEN
        swap = PutItems(change_id=world.new_id(), namespace=NAMESPACE, items=put.items, drop=(ItemKey("k", "a"),))
        assert world.commit(swap).applied, "what is dropped is free"
        drop = PutItems(change_id=world.new_id(), namespace=NAMESPACE, drop=(ItemKey("k", "a"),))
        assert world.commit(drop).applied
        assert world.store.item(NAMESPACE, "k", "a") is None

    def test_due_items_come_oldest_first_and_stay_until_they_are_dropped(self, world: World) -> None:
        delays = {"c": 1, "a": 3, "b": 2, "later": 100}
        items = tuple(NewItem(kind="k", key=key, delay=timedelta(seconds=delay)) for key, delay in delays.items())
        never = NewItem(kind="k", key="never")
        world.commit(PutItems(change_id=world.new_id(), namespace=NAMESPACE, items=(*items, never)))
        assert list(world.store.due_items(NAMESPACE, "k", 10)) == []
        assert world.store.next_due_item(NAMESPACE, ["k", "none"]) == world.clock.now() + SECOND
        world.clock.advance(timedelta(seconds=3))
        for _ in range(2):
            assert [item.key for item in world.store.due_items(NAMESPACE, "k", 10)] == ["c", "b", "a"]
        assert [item.key for item in world.store.due_items(NAMESPACE, "k", 2)] == ["c", "b"]
        assert list(world.store.due_items(NAMESPACE, "other", 10)) == []
        world.commit(PutItems(change_id=world.new_id(), namespace=NAMESPACE, drop=(ItemKey("k", "c"), ItemKey("k", "b"))))
        assert [item.key for item in world.store.due_items(NAMESPACE, "k", 10)] == ["a"]
        assert world.store.next_due_item(NAMESPACE, ["none"]) is None
        assert world.store.next_due_item(NAMESPACE, []) is None
        many = [*(f"none-{number}" for number in range(250)), "k"]
        assert world.store.next_due_item(NAMESPACE, many) == world.clock.now()

    def test_what_was_put_there_anew_is_left_where_only_due_items_are_to_go(self, world: World) -> None:
        kinds = {"due": timedelta(minutes=1), "later": timedelta(minutes=3), "never": None}
        put = PutItems(
            change_id="p-1",
            namespace=NAMESPACE,
            items=tuple(NewItem(kind="key", key=name, delay=delay) for name, delay in kinds.items()),
        )
        assert world.commit(put).applied
        world.clock.advance(timedelta(minutes=2))
        keys = tuple(ItemKey("key", name) for name in (*kinds, "missing"))
        drop = PutItems(change_id="p-2", namespace=NAMESPACE, drop=keys, drop_due_only=True)
        assert world.commit(drop).applied
        assert [item.key for item in world.store.items(NAMESPACE, "key")] == ["later", "never"]
        assert world.commit(PutItems(change_id="p-3", namespace=NAMESPACE, drop=keys)).applied
        assert list(world.store.items(NAMESPACE, "key")) == []

    def test_items_are_listed_by_key_in_pages(self, world: World) -> None:
        keys = ["a", "b", "c", "d"]
        items = tuple(NewItem(kind="k", key=key) for key in reversed(keys))
        world.commit(PutItems(change_id=world.new_id(), namespace=NAMESPACE, items=items))
        first = [item.key for item in world.store.items(NAMESPACE, "k", limit=3)]
        assert first == keys[:3]
        assert [item.key for item in world.store.items(NAMESPACE, "k", after="c")] == ["d"]
        assert list(world.store.items(NAMESPACE, "other")) == []

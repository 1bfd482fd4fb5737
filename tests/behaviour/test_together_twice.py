"""A step that starts one run twice."""

from __future__ import annotations

import pytest

from flowdsl.dsl.run import Run
from flowdsl.model.run_state import RunState
from tests.behaviour.test_together import Status, Thing, pair
from tests.behaviour.world import World


@pytest.mark.parametrize("again", ["b", "c"])
def test_two_starts_with_one_idempotency_key_are_one(world: World, again: str) -> None:
    def body(run: Run[Thing, Status]) -> None:
        run.trigger(other, "b", Thing("first"), idempotency_key="k")
        run.trigger(other, again, Thing("second"), idempotency_key="k")
        run.trigger(first, "b", Thing(), idempotency_key="k")  # of another workflow: another key

    first, other = pair(lambda run: body(run) if run.foreign_id == "a" else None)
    with world.engine(first, other) as engine:
        parent = engine.trigger(first, "a", Thing())

        engine.run_until_idle()

        assert parent.record().state is RunState.COMPLETED
        assert [row.attempt for row in parent.history()] == [1, 1, 1]
        (child,) = engine.runs(other).runs
        assert (child.foreign_id, engine.latest(other, "b").run().object.note) == ("b", "first")
        assert {run.foreign_id for run in engine.runs(first).runs} == {"a", "b"}

"""Random walks: a workflow is led through whatever may happen to it, as hypothesis decides.

At every moment one of the things that could happen next does: time passes, somebody calls back, pauses, resumes, cancels, the
process dies. What must hold whatever happens is asserted at each of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import Enum
from typing import Any, TypeVar

from hypothesis import note
from hypothesis import strategies as st

from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.handle import RunHandle
from flowdsl.model.history import HistoryRow
from flowdsl.model.run_state import RunState, may_move
from flowdsl.testing.rehearsal import AFTER_A_CRASH, Rehearsal

ObjectT = TypeVar("ObjectT")
StatusT = TypeVar("StatusT", bound=Enum)

PATIENCE = timedelta(days=400)
"""After the last decision all of this passes: whatever is to happen by itself has happened then."""


class Walk:
    """One run on its walk.

    In: hypothesis's `data`; the workflow; a strategy for its object; strategies for the payloads of callbacks, by name; `check`,
    called with the handle after every decision; at most so many decisions. Use it in a test with `@given(data=st.data())`.
    """

    def __init__(
        self,
        data: st.DataObject,
        workflow: Workflow[ObjectT, StatusT],
        objects: st.SearchStrategy[ObjectT],
        *,
        payloads: Mapping[str, st.SearchStrategy[Any]] | None = None,
        check: Callable[[RunHandle[Any, Any]], object] = lambda handle: None,
        decisions: int = 20,
    ) -> None:
        self._data = data
        self._workflow = workflow
        self._payloads = payloads or {}
        self._check = check
        self._decisions = decisions
        self._rehearsal = Rehearsal()
        self._rehearsal.engine(workflow)
        obj = data.draw(objects, label="object")
        self._run_id = self._rehearsal.current.trigger(workflow, "walker", obj).run_id

    @property
    def handle(self) -> RunHandle[Any, Any]:
        """The run, through the process that lives now."""
        return self._rehearsal.current.handle(self._run_id)

    def to_the_end(self) -> RunHandle[Any, Any]:
        """Walk until the run has ended or the decisions are used up, and let time pass then. Raises AssertionError for a history
        that is not legal, and what `check` raises."""
        try:
            for _ in range(self._decisions):
                ways = self._ways()
                name = self._data.draw(st.sampled_from(sorted(ways)), label="then")
                note(f"then: {name}")
                ways[name]()
                self._look()
                if self.handle.record().state.finished:
                    break
            self._rehearsal.advance(PATIENCE)
            self._look()
            return self.handle
        finally:
            self._rehearsal.close()

    def _ways(self) -> dict[str, Callable[[], object]]:
        """What may happen next, by name."""
        rehearsal, record, handle = self._rehearsal, self.handle.record(), self.handle
        ways: dict[str, Callable[[], object]] = {
            "everything that is due happens": rehearsal.run_until_idle,
            "time passes": lambda: rehearsal.advance(timedelta(seconds=self._data.draw(st.integers(1, 10**6), label="seconds"))),
            "the process dies": self._die,
        }
        if may_move(record.state, RunState.PAUSED) and record.requested is None:
            ways["somebody pauses it"] = lambda: handle.pause("a walk")
        if may_move(record.state, RunState.CANCELLED):
            ways["somebody cancels it"] = lambda: handle.cancel("a walk")
        if record.state is RunState.PAUSED:
            ways["somebody resumes it"] = handle.resume
        for status, specs in self._workflow.definition().callbacks.items():
            for spec in specs:
                payload = self._payloads.get(spec.label, st.just(b""))
                ways[f"callback {spec.label}"] = self._calling(status, spec.label, payload)
        return ways

    def _calling(self, status: str, name: str, payload: st.SearchStrategy[Any]) -> Callable[[], object]:
        member = self._workflow.member(status)

        def call() -> object:
            drawn = self._data.draw(payload, label=f"payload of {name}")
            return self._rehearsal.current.callback(self._workflow, "walker", member, drawn, name=name)

        return call

    def _die(self) -> None:
        self._rehearsal.current.crash()
        self._rehearsal.clock.advance(AFTER_A_CRASH)
        self._rehearsal.engine(self._workflow)

    def _look(self) -> None:
        handle = self.handle
        history = handle.history()
        for before, after in itertools.pairwise(history):
            assert after.version == before.version + 1, "the history has a gap"
            assert after.from_status == before.to_status, "the history jumps"
            assert may_move(before.to_state, after.to_state) or before.to_state is after.to_state, _illegal(after)
        self._check(handle)


def _illegal(row: HistoryRow) -> str:
    return f"version {row.version} went from {row.from_state.label} to {row.to_state.label}"

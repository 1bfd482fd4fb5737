"""Sound histories, written by hand."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from flowdsl.engine.kept_callback import KeptCallback
from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.dead_letter import DeadLetter
from flowdsl.model.history import Cause
from flowdsl.model.item import Item
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState as R
from flowdsl.testing.clock import START
from flowdsl.testing.simulation.journal import Answer, Call, Kind, Order, Told
from tests.simulation.chronicle import Chronicle, complete, spoil

MINUTE = timedelta(minutes=1)


def failed_once() -> Chronicle:
    story = Chronicle().triggered().failed().later(2)
    return story.moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)


def taken_over() -> Chronicle:
    story = Chronicle().triggered()
    spoil(story.executed(node="worker-2", to="b"), answer=Answer.NONE, ended=None, ended_at=None)
    story.lost("worker-2")
    return story.moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)


def paused_for_errors() -> Chronicle:
    story = Chronicle().triggered().failed().later(2)
    story.executed(Answer.RAISED, attempt=2)
    story.version(Cause.ERRORS, "a", R.PAUSED, reason="failed twice")
    story.executed(kind=Kind.HOOK, task="error")
    return story


def resumed_by_itself() -> Chronicle:
    story = paused_for_errors().later(40)
    story.version(Cause.AUTO_RESUME, "a", R.RUNNING)
    key = story.journal.executions[0].key
    spoil(story.executed(to="b"), key=key)
    story.trail.append("a@3")
    story.version(Cause.STEP, "b", R.RUNNING)
    return story.later(3).moved("c", R.COMPLETED)


def paused_by_a_person() -> Chronicle:
    story = Chronicle().triggered()
    story.version(Cause.CONTROL, "a", R.PAUSED, reason="reason 1")
    order(story, "pause", "reason 1")
    return story


def a_pause_for_errors_taken_over_by_a_person() -> Chronicle:
    story = paused_for_errors().later(1)
    story.version(Cause.CONTROL, "a", R.PAUSED, reason="reason 1")
    order(story, "pause", "reason 1")
    return story


def skipped() -> Chronicle:
    story = Chronicle().triggered()
    story.executed(Answer.SKIP)
    story.row(due_at=None)
    return story


def one_after_the_other() -> Chronicle:
    story = complete()
    later = story.beside("r2", "f1")
    later.triggered().later(1).moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)
    return story


def timed_out() -> Chronicle:
    """It was paused for a minute meanwhile, which does not count."""
    story = Chronicle().triggered(status="d").later(15)
    story.version(Cause.CONTROL, "d", R.PAUSED, reason="reason 1")
    story.later(60).version(Cause.CONTROL, "d", R.RUNNING)
    return story.later(5).moved("c", R.COMPLETED, Cause.TIMEOUT)


def called() -> Chronicle:
    story = Chronicle().triggered(status="e").later(1)
    call(story, "c1", CallbackOutcome.APPLIED)
    return story.moved("c", R.COMPLETED, Cause.CALLBACK, "c1")


def called_too_early() -> Chronicle:
    """The callback waits beside a paused run."""
    story = paused_by_a_person()
    call(story, "c1", CallbackOutcome.KEPT, key="k")
    kept(story, "c1")
    return story


def called_too_late() -> Chronicle:
    """The callback was kept for a run that ended elsewhere."""
    story = complete()
    call(story, "c1", CallbackOutcome.KEPT)
    letter(story, "c1")
    return story


def erased() -> Chronicle:
    story = complete()
    story.version(Cause.DELETION, "c", R.REQUESTED_DATA_DELETED)
    story.version(Cause.DELETION, "c", R.DATA_DELETED)
    story.record_changes["payload"] = None
    return story


def order(story: Chronicle, verb: str, reason: str, told: Told = Told.DONE) -> None:
    tick = story.journal.tick
    story.journal.orders.append(
        Order(verb=verb, run_id=story.run_id, reason=reason, asked=tick(), asked_at=story.rows[0].at, answered=tick(), told=told)
    )


def call(story: Chronicle, call_id: str, outcome: CallbackOutcome | None, key: str | None = None) -> None:
    tick = story.journal.tick
    story.journal.calls.append(
        Call(
            call_id=call_id,
            workflow="flow",
            foreign_id=story.foreign_id,
            status="e",
            key=key,
            asked=tick(),
            answered=tick(),
            outcome=outcome,
            run_id=story.run_id,
        )
    )


def kept(story: Chronicle, call_id: str) -> None:
    payload = msgspec.json.encode(KeptCallback(data=f"{call_id} data".encode(), actor="customer", task=f"callback:{call_id}"))
    story.row(row_id=f"r1:{call_id}", kind=RowKind.CALLBACK, receiver="e", due_at=None, payload=payload)


def letter(story: Chronicle, call_id: str) -> None:
    buried = DeadLetter(
        letter_id=f"letter-{call_id}",
        origin="callback",
        workflow="flow",
        name="door",
        error="the run was completed",
        attempts=0,
        buried_at=story.moment,
        run_id=story.run_id,
        body=f"{call_id} data".encode(),
    )
    body = msgspec.json.encode(buried)
    story.items.append(
        Item(namespace="default", kind="dead_letter", key=call_id, body=body, due_at=None, created_at=story.moment)
    )


def fired() -> Chronicle:
    """A schedule started two runs in a row, and wanted none between them."""
    story = Chronicle().fired().later(1).moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)
    story.later(56).asked_for(START + MINUTE, Answer.SKIP)
    other = story.later(60).beside("r2", "minutely")
    other.fired().later(1).moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)
    return story


def fired_soon() -> Chronicle:
    """The last attempt at a slot failed; the next is to come."""
    story = fired()
    story.later(56).asked_for(START + 3 * MINUTE, Answer.RAISED)
    return story


SOUND = (
    fired,
    fired_soon,
    complete,
    failed_once,
    taken_over,
    paused_for_errors,
    a_pause_for_errors_taken_over_by_a_person,
    resumed_by_itself,
    paused_by_a_person,
    skipped,
    one_after_the_other,
    timed_out,
    called,
    called_too_early,
    called_too_late,
    erased,
)

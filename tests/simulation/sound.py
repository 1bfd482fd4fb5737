"""Sound histories, written by hand."""

from __future__ import annotations

from flowdsl.model.history import Cause
from flowdsl.model.run_state import RunState as R
from flowdsl.testing.simulation.journal import Answer, Order, Told
from tests.simulation.chronicle import Chronicle, complete, spoil


def failed_once() -> Chronicle:
    story = Chronicle().triggered()
    story.executed(Answer.RAISED)
    story.later(2)
    return story.moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)


def taken_over() -> Chronicle:
    story = Chronicle().triggered()
    spoil(story.executed(node="worker-2", to="b"), answer=Answer.NONE, ended=None, ended_at=None)
    story.lost("worker-2")
    return story.moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)


def paused_for_errors() -> Chronicle:
    story = Chronicle().triggered()
    story.executed(Answer.RAISED)
    story.later(2).executed(Answer.RAISED, attempt=2)
    story.version(Cause.ERRORS, "a", R.PAUSED, reason="failed twice")
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


def order(story: Chronicle, verb: str, reason: str, told: Told = Told.DONE) -> None:
    tick = story.journal.tick
    story.journal.orders.append(
        Order(verb=verb, run_id=story.run_id, reason=reason, asked=tick(), asked_at=story.rows[0].at, answered=tick(), told=told)
    )


SOUND = (
    complete,
    failed_once,
    taken_over,
    paused_for_errors,
    resumed_by_itself,
    paused_by_a_person,
    skipped,
    one_after_the_other,
)

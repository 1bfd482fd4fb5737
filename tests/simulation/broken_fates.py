"""Histories of runs that were lost, stuck or led astray, broken in one way each, written by hand."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.change import CommitOutcome
from flowdsl.model.history import Cause
from flowdsl.model.record import ControlRequest
from flowdsl.model.run_state import RunState as R
from flowdsl.testing.clock import START
from flowdsl.testing.simulation.journal import Commit, Told, Trigger, Waiting
from tests.simulation.chronicle import Chronicle, complete, last_step, spoil
from tests.simulation.sound import call, called, letter, order, paused_by_a_person, skipped


def a_run_is_lost() -> Chronicle:
    story = complete()
    story.journal.triggers.append(
        Trigger(workflow="flow", foreign_id="f9", key=None, asked=90, answered=91, told=Told.DONE, run_id="r9")
    )
    return story


def a_run_is_left_in_the_middle() -> Chronicle:
    return Chronicle().triggered().later(1).moved("b", R.RUNNING)


def a_run_is_paused_without_a_reason() -> Chronicle:
    story = paused_by_a_person()
    story.rows[-1] = replace(story.rows[-1], reason=None)
    story.journal.orders.clear()
    return story


def an_applied_change_is_not_there() -> Chronicle:
    story = complete()
    story.journal.commits.append(Commit("worker-1", "gone", "r1", 4, CommitOutcome.APPLIED))
    return story


def a_refused_change_is_there() -> Chronicle:
    story = complete()
    last = story.journal.commits[-1]
    story.journal.commits[-1] = Commit(last.node, last.change_id, last.run_id, last.version, CommitOutcome.LOST)
    return story


def a_change_appeared_from_nowhere() -> Chronicle:
    story = complete()
    del story.journal.commits[-1]
    return story


def a_cancel_was_forgotten() -> Chronicle:
    story = paused_by_a_person()
    order(story, "cancel", "reason 2")
    return story


def a_pause_was_forgotten() -> Chronicle:
    story = skipped()
    order(story, "pause", "reason 1")
    return story


def a_request_waits_for_ever() -> Chronicle:
    story = skipped()
    story.record_changes["requested"] = ControlRequest(R.CANCELLED, "why", "who")
    return story


def a_run_under_way_has_no_row() -> Chronicle:
    story = skipped()
    story.pending.clear()
    return story


def a_row_is_due_and_nobody_comes() -> Chronicle:
    story = skipped()
    story.pending[0] = replace(story.pending[0], due_at=START)
    return story


def a_claim_of_a_dead_owner_remains() -> Chronicle:
    story = skipped()
    story.pending[0] = replace(story.pending[0], owner="dead")
    return story


def a_paused_run_has_a_row() -> Chronicle:
    story = paused_by_a_person()
    story.row()
    return story


def a_wait_is_never_answered() -> Chronicle:
    story = complete()
    story.journal.waits.append(Waiting(run_id="r1", status=None, node="worker-1"))
    return story


def a_wait_is_answered_too_early() -> Chronicle:
    story = skipped()
    story.journal.waits.append(Waiting(run_id="r1", status="c", node="worker-1", done=True, reached=True))
    return story


def a_wait_is_refused_wrongly() -> Chronicle:
    story = complete()
    story.journal.waits.append(Waiting(run_id="r1", status="b", node="worker-1", done=True, reached=False))
    return story


def a_version_is_missing() -> Chronicle:
    story = complete()
    story.rows[2] = replace(story.rows[2], version=4)
    return story


def a_version_is_doubled() -> Chronicle:
    story = complete()
    story.rows.append(replace(story.rows[-1], change_id="other"))
    return story


def one_change_made_two_versions() -> Chronicle:
    story = complete()
    story.rows[2] = replace(story.rows[2], change_id=story.rows[1].change_id)
    return story


def a_transition_leaves_a_status_the_run_was_not_in() -> Chronicle:
    story = complete()
    story.rows[2] = replace(story.rows[2], from_status="a")
    return story


def a_transition_is_no_edge_of_the_graph() -> Chronicle:
    story = Chronicle().triggered().later(1)
    return story.moved("c", R.COMPLETED)


def a_transition_was_answered_by_nobody() -> Chronicle:
    story = complete()
    story.journal.executions.remove(last_step(story))
    return story


def a_transition_is_not_what_the_step_answered() -> Chronicle:
    story = complete()
    spoil(last_step(story), to="a")
    return story


def the_run_is_not_where_its_history_ends() -> Chronicle:
    story = complete()
    story.record_changes["status"] = "b"
    return story


def the_object_of_a_step_was_lost() -> Chronicle:
    story = complete()
    story.trail.pop()
    return story


def the_object_has_an_effect_twice() -> Chronicle:
    story = complete()
    story.trail.append("b@2")
    return story


def a_step_got_an_old_object() -> Chronicle:
    story = complete()
    spoil(last_step(story), trail=())
    return story


def a_run_is_complete_too_early() -> Chronicle:
    story = Chronicle().triggered().later(1)
    return story.moved("b", R.COMPLETED)


def a_run_waits_for_a_timeout_that_never_comes() -> Chronicle:
    return Chronicle().triggered(status="d").later(100)


def the_answer_of_a_step_was_thrown_away() -> Chronicle:
    story = Chronicle().triggered()
    story.executed(to="b")
    story.version(Cause.CONTROL, "a", R.PAUSED, reason="reason 1")
    return story


def a_deletion_was_forgotten() -> Chronicle:
    story = complete()
    order(story, "delete", "reason 1")
    return story


def a_callback_that_was_applied_is_gone() -> Chronicle:
    story = complete()
    call(story, "c1", CallbackOutcome.APPLIED)
    return story


def a_callback_that_was_kept_is_gone() -> Chronicle:
    story = paused_by_a_person()
    call(story, "c1", CallbackOutcome.KEPT)
    return story


def a_callback_that_was_refused_was_applied() -> Chronicle:
    story = called()
    story.journal.calls[0].outcome = CallbackOutcome.NOT_IN_STATUS
    return story


def a_callback_was_applied_and_is_kept_still() -> Chronicle:
    story = called()
    letter(story, "c1")
    return story


def two_callbacks_of_one_key_were_applied() -> Chronicle:
    story = Chronicle().triggered(status="e").later(1)
    call(story, "c1", CallbackOutcome.APPLIED, key="k")
    story.moved("c", R.COMPLETED, Cause.CALLBACK, "c1")
    other = story.beside("r2", "f2").triggered(status="e").later(1)
    call(other, "c2", CallbackOutcome.APPLIED, key="k")
    other.moved("c", R.COMPLETED, Cause.CALLBACK, "c2")
    return story


def a_callback_was_called_a_duplicate_of_nothing() -> Chronicle:
    story = complete()
    call(story, "c1", CallbackOutcome.DUPLICATE, key="k")
    return story


BROKEN_FATES: list[tuple[Callable[[], Chronicle], str]] = [
    (a_run_is_lost, "I1"),
    (a_run_is_left_in_the_middle, "I1"),
    (a_run_is_paused_without_a_reason, "I1"),
    (an_applied_change_is_not_there, "I1"),
    (a_refused_change_is_there, "I1"),
    (a_change_appeared_from_nowhere, "I1"),
    (a_cancel_was_forgotten, "I1"),
    (a_pause_was_forgotten, "I1"),
    (a_request_waits_for_ever, "I2"),
    (a_run_under_way_has_no_row, "I2"),
    (a_row_is_due_and_nobody_comes, "I2"),
    (a_claim_of_a_dead_owner_remains, "I2"),
    (a_paused_run_has_a_row, "I2"),
    (a_wait_is_never_answered, "I2"),
    (a_wait_is_answered_too_early, "I2"),
    (a_wait_is_refused_wrongly, "I2"),
    (a_version_is_missing, "I3"),
    (a_version_is_doubled, "I3"),
    (one_change_made_two_versions, "I3"),
    (a_transition_leaves_a_status_the_run_was_not_in, "I3"),
    (a_transition_is_no_edge_of_the_graph, "I3"),
    (a_transition_was_answered_by_nobody, "I3"),
    (a_transition_is_not_what_the_step_answered, "I3"),
    (the_run_is_not_where_its_history_ends, "I3"),
    (the_object_of_a_step_was_lost, "I3"),
    (the_object_has_an_effect_twice, "I3"),
    (a_step_got_an_old_object, "I3"),
    (a_run_is_complete_too_early, "I3"),
    (a_run_waits_for_a_timeout_that_never_comes, "I1"),
    (the_answer_of_a_step_was_thrown_away, "I1"),
    (a_deletion_was_forgotten, "I1"),
    (a_callback_that_was_applied_is_gone, "I1"),
    (a_callback_that_was_kept_is_gone, "I1"),
    (a_callback_that_was_refused_was_applied, "I1"),
    (a_callback_was_applied_and_is_kept_still, "I3"),
    (two_callbacks_of_one_key_were_applied, "I3"),
    (a_callback_was_called_a_duplicate_of_nothing, "I1"),
]
"""Each with the invariant that the checker must find broken."""

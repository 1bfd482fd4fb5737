"""Histories that are broken in one way each, written by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from msgspec.structs import replace

from flowdsl.model.change import CommitOutcome
from flowdsl.model.history import Cause
from flowdsl.model.item import Item, ItemKind
from flowdsl.model.record import ControlRequest
from flowdsl.model.run_state import RunState as R
from flowdsl.testing.clock import START
from flowdsl.testing.simulation.journal import Answer, Commit, Granted, Held, Told, Trigger, Waiting
from tests.simulation.chronicle import Chronicle, complete, spoil
from tests.simulation.sound import failed_once, order, paused_by_a_person, paused_for_errors, resumed_by_itself, skipped


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
    story.journal.executions.pop()
    return story


def a_transition_is_not_what_the_step_answered() -> Chronicle:
    story = complete()
    spoil(story.journal.executions[-1], to="a")
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
    spoil(story.journal.executions[-1], trail=())
    return story


def a_run_is_complete_too_early() -> Chronicle:
    story = Chronicle().triggered().later(1)
    return story.moved("b", R.COMPLETED)


def a_step_ran_twice_for_no_reason() -> Chronicle:
    story = Chronicle().triggered()
    story.executed(to="b")
    return story.moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)


def a_step_ran_beside_itself() -> Chronicle:
    story = Chronicle().triggered()
    story.executed(Answer.RAISED)
    spoil(story.journal.executions[0], ended=999)
    story.later(2)
    return story.moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)


def a_step_was_told_another_status() -> Chronicle:
    story = complete()
    spoil(story.journal.executions[-1], status="a")
    return story


def a_retry_has_another_idempotency_key() -> Chronicle:
    story = failed_once()
    spoil(story.journal.executions[0], key="another")
    return story


def two_pieces_of_work_share_an_idempotency_key() -> Chronicle:
    story = complete()
    spoil(story.journal.executions[1], key=story.journal.executions[0].key)
    return story


def a_run_was_paused_after_too_few_failures() -> Chronicle:
    story = Chronicle().triggered()
    story.executed(Answer.RAISED)
    story.version(Cause.ERRORS, "a", R.PAUSED, reason="failed")
    return story


def a_run_failed_on_and_on() -> Chronicle:
    story = Chronicle().triggered()
    for attempt in range(1, 4):
        story.executed(Answer.RAISED, attempt=attempt)
        story.later(2)
    return story.moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)


def a_foreign_id_has_two_runs() -> Chronicle:
    story = Chronicle().triggered().later(1)
    other = story.beside("r2", "f1")
    other.triggered().later(1).moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)
    return story.moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)


def an_idempotency_key_has_two_runs() -> Chronicle:
    story = Chronicle().triggered(key="k").later(1).moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)
    story.beside("r2", "f2").triggered(key="k").later(1).moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)
    return story


def a_trigger_was_refused_for_nothing() -> Chronicle:
    story = complete()
    story.journal.triggers.append(Trigger(workflow="flow", foreign_id="f2", key=None, asked=90, told=Told.REFUSED, run_id="r1"))
    return story


def a_finished_run_moved() -> Chronicle:
    story = complete()
    story.version(Cause.CONTROL, "c", R.CANCELLED)
    return story


def a_step_moved_a_paused_run() -> Chronicle:
    story = paused_by_a_person()
    return story.moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)


def a_step_began_on_a_paused_run() -> Chronicle:
    story = paused_by_a_person()
    spoil(story.executed(Answer.RAISED), state=R.PAUSED)
    return story


def what_a_person_paused_resumed_by_itself() -> Chronicle:
    story = paused_by_a_person().later(40)
    story.version(Cause.AUTO_RESUME, "a", R.RUNNING)
    spoil(story.executed(to="b"), key="r1:1")
    story.trail.append("a@3")
    story.version(Cause.STEP, "b", R.RUNNING)
    return story.later(3).moved("c", R.COMPLETED)


def a_lag_was_not_kept() -> Chronicle:
    return Chronicle().triggered().later(1).moved("b", R.RUNNING).later(1).moved("c", R.COMPLETED)


def a_retry_came_too_early() -> Chronicle:
    story = Chronicle().triggered()
    story.executed(Answer.RAISED)
    story.later(1)
    return story.moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)


def an_automatic_resume_came_too_early() -> Chronicle:
    story = resumed_by_itself()
    story.rows[2:] = [replace(row, at=row.at - timedelta(seconds=1)) for row in story.rows[2:]]
    return story


def a_run_resumed_by_itself_too_often() -> Chronicle:
    story = paused_for_errors()
    for _ in range(2):
        story.later(40).version(Cause.AUTO_RESUME, "a", R.RUNNING)
        for attempt in (1, 2):
            spoil(story.later(2).executed(Answer.RAISED, attempt=attempt), key="r1:1")
        story.version(Cause.ERRORS, "a", R.PAUSED, reason="failed twice")
    return story


def a_role_got_a_smaller_token() -> Chronicle:
    story = complete()
    story.journal.granted += [Granted("sweeper", "one", 3, 1), Granted("sweeper", "two", 2, 2)]
    return story


def a_role_changed_hands_with_the_same_token() -> Chronicle:
    story = complete()
    story.journal.granted += [Granted("sweeper", "one", 3, 1), Granted("sweeper", "two", 3, 2)]
    return story


def two_processes_act_in_one_role() -> Chronicle:
    story = complete()
    story.journal.held.append(Held("sweeper", ("worker-1", "worker-2"), 5))
    return story


def it_never_recovered() -> Chronicle:
    story = complete()
    story.recovery = None
    return story


def a_loop_failed() -> Chronicle:
    story = complete()
    story.journal.accidents.append("the house thread of worker-1 failed: KeyError: 'x'")
    return story


def a_process_holds_on_to_something() -> Chronicle:
    story = complete()
    story.leftovers.append("worker-1: 1 rows in hand")
    return story


def a_finished_run_has_a_row() -> Chronicle:
    story = complete()
    story.row()
    return story


def an_item_is_left_over() -> Chronicle:
    story = complete()
    story.items.append(
        Item(namespace="default", kind=ItemKind.AUTO_RESUME, key="r1", body=b"", due_at=None, created_at=story.moment)
    )
    return story


BROKEN: list[tuple[Callable[[], Chronicle], str]] = [
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
    (a_step_ran_twice_for_no_reason, "I4"),
    (a_step_ran_beside_itself, "I4"),
    (a_step_was_told_another_status, "I4"),
    (a_retry_has_another_idempotency_key, "I4"),
    (two_pieces_of_work_share_an_idempotency_key, "I4"),
    (a_run_was_paused_after_too_few_failures, "I4"),
    (a_run_failed_on_and_on, "I4"),
    (a_foreign_id_has_two_runs, "I5"),
    (an_idempotency_key_has_two_runs, "I5"),
    (a_trigger_was_refused_for_nothing, "I5"),
    (a_finished_run_moved, "I6"),
    (a_step_moved_a_paused_run, "I6"),
    (a_step_began_on_a_paused_run, "I6"),
    (what_a_person_paused_resumed_by_itself, "I6"),
    (a_lag_was_not_kept, "I7"),
    (a_retry_came_too_early, "I7"),
    (an_automatic_resume_came_too_early, "I7"),
    (a_run_resumed_by_itself_too_often, "I7"),
    (a_role_got_a_smaller_token, "I9"),
    (a_role_changed_hands_with_the_same_token, "I9"),
    (two_processes_act_in_one_role, "I9"),
    (it_never_recovered, "I10"),
    (a_loop_failed, "I10"),
    (a_process_holds_on_to_something, "I11"),
    (a_finished_run_has_a_row, "I11"),
    (an_item_is_left_over, "I11"),
]
"""Each with the invariant that the checker must find broken."""

"""Histories in which something ran too often, too early, twice at a time, or did not recover; broken in one way each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta

from msgspec.structs import replace

from flowdsl.model.history import Cause
from flowdsl.model.item import Item, ItemKind
from flowdsl.model.run_state import RunState as R
from flowdsl.testing.clock import START
from flowdsl.testing.simulation.journal import Answer, Granted, Held, Kind, Told, Trigger
from flowdsl.testing.simulation.workload import secret_of
from tests.simulation.chronicle import Chronicle, complete, last_step, spoil
from tests.simulation.sound import (
    MINUTE,
    a_pause_for_errors_taken_over_by_a_person,
    erased,
    failed_once,
    fired,
    letter,
    order,
    paused_by_a_person,
    paused_for_errors,
    resumed_by_itself,
)


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
    spoil(last_step(story), status="a")
    return story


def a_retry_has_another_idempotency_key() -> Chronicle:
    story = failed_once()
    spoil(story.journal.executions[0], key="another")
    return story


def two_pieces_of_work_share_an_idempotency_key() -> Chronicle:
    story = complete()
    spoil(last_step(story), key=story.journal.executions[0].key)
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


def a_persons_pause_was_taken_over() -> Chronicle:
    story = paused_by_a_person().later(1)
    story.version(Cause.CONTROL, "a", R.PAUSED, reason="reason 2")
    order(story, "pause", "reason 2")
    return story


def what_a_person_took_over_resumed_by_itself() -> Chronicle:
    story = a_pause_for_errors_taken_over_by_a_person().later(40)
    story.version(Cause.AUTO_RESUME, "a", R.RUNNING)
    spoil(story.executed(to="b"), key="r1:1")
    story.trail.append("a@4")
    story.version(Cause.STEP, "b", R.RUNNING)
    return story.later(3).moved("c", R.COMPLETED)


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


def a_hook_was_not_told() -> Chronicle:
    story = complete()
    story.journal.executions.pop()
    return story


def a_hook_was_told_of_what_did_not_happen() -> Chronicle:
    story = Chronicle().triggered().later(1).moved("b", R.RUNNING)
    story.executed(kind=Kind.HOOK, task="complete")
    return story.later(3).moved("c", R.COMPLETED)


def a_hook_was_told_another_state() -> Chronicle:
    story = complete()
    spoil(story.journal.executions[-1], state=R.RUNNING)
    return story


def a_hook_was_told_twice_for_no_reason() -> Chronicle:
    story = complete()
    story.executed(kind=Kind.HOOK, task="complete")
    return story


def a_failure_was_told_to_nobody() -> Chronicle:
    story = failed_once()
    story.journal.executions = [one for one in story.journal.executions if one.task != "error"]
    return story


def a_timeout_came_too_early() -> Chronicle:
    return Chronicle().triggered(status="d").later(19).moved("c", R.COMPLETED, Cause.TIMEOUT)


def a_timeout_counted_a_pause() -> Chronicle:
    story = Chronicle().triggered(status="d").later(15)
    story.version(Cause.CONTROL, "d", R.PAUSED, reason="reason 1")
    story.later(60).version(Cause.CONTROL, "d", R.RUNNING)
    return story.later(4).moved("c", R.COMPLETED, Cause.TIMEOUT)


def a_timeout_began_where_there_is_none() -> Chronicle:
    story = Chronicle().triggered().later(1)
    story.executed(Answer.RAISED, kind=Kind.TIMEOUT)
    return story.moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)


def deleted_data_is_in_the_object() -> Chronicle:
    story = erased()
    del story.record_changes["payload"]
    return story


def deleted_data_is_in_the_history() -> Chronicle:
    story = erased()
    story.rows[2] = replace(story.rows[2], error=f"it failed for {secret_of('f1')}")
    return story


def deleted_data_is_in_a_dead_letter() -> Chronicle:
    story = erased()
    letter(story, "c1")
    return story


def deleted_data_is_in_an_item() -> Chronicle:
    story = erased()
    body = secret_of("f1").encode()
    story.items.append(Item(namespace="default", kind="receipt", key="r1", body=body, due_at=None, created_at=story.moment))
    return story


def a_slot_has_two_runs() -> Chronicle:
    story = fired()
    story.beside("r3", "minutely").fired(START).later(1).moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)
    return story


def a_slot_was_fired_early() -> Chronicle:
    story = Chronicle().fired(START + MINUTE).later(1).moved("b", R.RUNNING).later(3).moved("c", R.COMPLETED)
    return story.later(60)


def a_slot_has_a_run_that_nobody_wanted() -> Chronicle:
    story = fired()
    story.asked_for(START, Answer.SKIP)
    return story


def a_slot_has_no_run() -> Chronicle:
    story = fired()
    story.journal.ordered = [one for one in story.journal.ordered if one.answer is not Answer.SKIP]
    return story


def a_slot_that_failed_was_forgotten() -> Chronicle:
    story = fired()
    skipped = next(one for one in story.journal.ordered if one.answer is Answer.SKIP)
    story.journal.ordered[story.journal.ordered.index(skipped)] = dataclasses.replace(skipped, answer=Answer.RAISED)
    return story


BROKEN_CONDUCT: list[tuple[Callable[[], Chronicle], str]] = [
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
    (a_persons_pause_was_taken_over, "I6"),
    (what_a_person_took_over_resumed_by_itself, "I6"),
    (a_step_began_on_a_paused_run, "I6"),
    (what_a_person_paused_resumed_by_itself, "I6"),
    (a_lag_was_not_kept, "I7"),
    (a_retry_came_too_early, "I7"),
    (an_automatic_resume_came_too_early, "I7"),
    (a_run_resumed_by_itself_too_often, "I7"),
    (a_slot_has_two_runs, "I8"),
    (a_slot_was_fired_early, "I8"),
    (a_slot_has_a_run_that_nobody_wanted, "I8"),
    (a_slot_has_no_run, "I8"),
    (a_slot_that_failed_was_forgotten, "I8"),
    (a_role_got_a_smaller_token, "I9"),
    (a_role_changed_hands_with_the_same_token, "I9"),
    (two_processes_act_in_one_role, "I9"),
    (it_never_recovered, "I10"),
    (a_loop_failed, "I10"),
    (a_process_holds_on_to_something, "I11"),
    (a_finished_run_has_a_row, "I11"),
    (an_item_is_left_over, "I11"),
    (a_hook_was_not_told, "I4"),
    (a_hook_was_told_of_what_did_not_happen, "I4"),
    (a_hook_was_told_another_state, "I4"),
    (a_hook_was_told_twice_for_no_reason, "I4"),
    (a_failure_was_told_to_nobody, "I4"),
    (a_timeout_came_too_early, "I7"),
    (a_timeout_counted_a_pause, "I7"),
    (a_timeout_began_where_there_is_none, "I7"),
    (deleted_data_is_in_the_object, "I12"),
    (deleted_data_is_in_the_history, "I12"),
    (deleted_data_is_in_a_dead_letter, "I12"),
    (deleted_data_is_in_an_item, "I12"),
]
"""Each with the invariant that the checker must find broken."""

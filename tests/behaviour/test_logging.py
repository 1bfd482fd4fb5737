"""What is logged: enough to find the run, never what it holds."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest
from msgspec.structs import replace

from flowdsl.engine.auto_resume import AutoResume
from flowdsl.errors import StoreUnavailableError
from flowdsl.model.pending import ClaimedRow
from flowdsl.model.run_state import RunState
from tests.behaviour.world import (
    SECOND,
    Doctored,
    Job,
    Status,
    Thing,
    World,
    failing,
    failing_commits,
    trigger,
)

CANARY = "canary-4711"


def of_steps(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "flowdsl.steps"]


def test_a_failure_is_logged_with_the_run_the_status_and_the_attempt_as_attributes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "flowdsl")
    job = Job(world.clock, failing, own={"err_backoff": SECOND, "pause_after_err_count": 3})
    with world.engine(job.workflow, auto_resume=AutoResume(after=None)) as engine:
        (handle,) = trigger(engine, job)
        engine.advance(2 * SECOND)
    records = of_steps(caplog)
    assert [(record.levelno, record.__dict__["attempt"]) for record in records] == [
        (logging.INFO, 1),
        (logging.INFO, 2),
        (logging.WARNING, 3),
    ]
    for record in records:
        extra = {name: record.__dict__[name] for name in ("workflow", "run_id", "foreign_id", "status")}
        assert extra == {"workflow": "jobs", "run_id": handle.run_id, "foreign_id": "thing-0", "status": "new"}
    assert "will be tried again" in records[0].getMessage()
    assert re.search(r": RuntimeError at world\.py:\d+ in failing$", records[0].getMessage()), "the place, and not the text"
    assert "is paused" in records[-1].getMessage()


def test_a_result_that_came_too_late_is_logged_with_its_run(memory_world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flowdsl")

    def cancelled_meanwhile(run: Any) -> None:
        engine.handle(run.run_id).cancel("stop", force=True)

    job = Job(memory_world.clock, cancelled_meanwhile)
    with memory_world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()
    (record,) = of_steps(caplog)
    assert "came too late" in record.getMessage()
    assert record.__dict__["run_id"] == handle.run_id


def test_attributes_do_not_collide_with_those_of_the_logging_library(memory_world: World) -> None:
    taken = set(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime"}
    assert not taken & {"workflow", "run_id", "foreign_id", "status", "attempt"}


def test_a_run_that_succeeds_is_not_logged_above_debug(memory_world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flowdsl.steps")
    job = Job(memory_world.clock)
    with memory_world.engine(job.workflow) as engine:
        trigger(engine, job, count=3)
        engine.run_until_idle()
    assert of_steps(caplog) == []


def test_the_traceback_is_logged_at_debug_alone(memory_world: World, caplog: pytest.LogCaptureFixture) -> None:
    job = Job(memory_world.clock, failing, own={"err_backoff": SECOND})
    with memory_world.engine(job.workflow) as engine:
        trigger(engine, job)
        caplog.set_level(logging.INFO, "flowdsl")
        engine.run_until_idle()
        caplog.set_level(logging.DEBUG, "flowdsl")
        engine.advance(SECOND)
    first, second = of_steps(caplog)
    assert first.exc_info is None
    assert second.exc_info is not None
    assert isinstance(second.exc_info[1], RuntimeError)


def changes_type(run: Any) -> None:
    run.object = [CANARY]


def wrong_field(run: Any) -> None:
    run.object.note = {CANARY}


class Stubborn:
    def __repr__(self) -> str:
        return CANARY


def holds_a_stranger(run: Any) -> None:
    run.object.note = Stubborn()


def outcome_forgotten(run: Any) -> Status:
    run.cancel(CANARY)
    return Status.DONE


BODIES: dict[str, Any] = {
    "succeeds": lambda run: None,
    "fails": failing,
    "returns its object": lambda run: run.object,
    "returns a text of its object": lambda run: run.object.note,
    "changes the object's type": changes_type,
    "breaks the type of a field": wrong_field,
    "puts a stranger into the object": holds_a_stranger,
    "skips": lambda run: run.skip(),
    "repeats, then pauses": lambda run: run.save_and_repeat() if run.version < 3 else run.pause("enough"),
    "returns what it is": lambda run: run,
    "forgets its outcome": outcome_forgotten,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_what_a_run_holds_is_in_no_log_record_at_any_level_and_in_no_stored_error(
    memory_world: World, caplog: pytest.LogCaptureFixture, body: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    job = Job(memory_world.clock, body, own={"err_backoff": SECOND, "pause_after_err_count": 2})
    with memory_world.engine(job.workflow, auto_resume=AutoResume(after=None)) as engine:
        handle = engine.trigger(job.workflow, "thing", Thing(CANARY), metadata={"note": CANARY})
        engine.advance(SECOND)
        stored = repr([row.last_error for row in handle.pending()]) + repr([(row.error, row.reason) for row in handle.history()])
        assert CANARY not in repr(handle)
    formatter = logging.Formatter()
    for record in caplog.records:
        own = {name: value for name, value in record.__dict__.items() if name not in ("exc_info", "exc_text")}
        assert CANARY not in repr(own)
        assert CANARY not in formatter.format(record)
    assert CANARY not in stored
    assert job.begun


def test_an_object_that_cannot_be_read_back_is_not_quoted(memory_world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world, job = memory_world, Job(memory_world.clock, own={"pause_after_err_count": 1})
    handle = world.outsider(job.workflow).trigger(job.workflow, "thing", Thing(CANARY))

    def broken(run: Any) -> Any:
        body = json.dumps({"note": [CANARY]}).encode()
        return replace(run, payload=replace(run.payload, data=body))

    def claim(*args: Any) -> Any:
        return [ClaimedRow(entry.row, broken(entry.run)) for entry in world.store.claim(*args)]

    with world.engine(job.workflow, store=Doctored(world.store, claim=claim)) as engine:
        engine.run_until_idle()
        record = handle.record()
    assert record.state is RunState.PAUSED
    assert (record.last_error or "").startswith("PayloadError")
    assert CANARY not in (record.last_error or "")
    assert CANARY not in caplog.text
    assert job.begun == []


def test_a_store_that_is_away_is_a_warning_and_not_a_failure_of_the_step(
    memory_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "flowdsl")
    world, job = memory_world, Job(memory_world.clock)
    trigger(world.outsider(job.workflow), job)
    with world.engine(job.workflow, store=failing_commits(world.store, 1)) as engine:
        engine.advance(2 * SECOND)
    record, over = [record for record in caplog.records if record.name == "flowdsl.commit"]
    assert (record.levelno, record.getMessage()) == (logging.WARNING, "committing failed: the database is away.")
    assert over.getMessage().startswith("committing works again, after ")
    assert of_steps(caplog) == []


def test_a_store_that_stays_away_is_told_of_once_a_minute_however_much_waits_for_it(
    memory_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "flowdsl")
    world, job = memory_world, Job(memory_world.clock)
    trigger(world.outsider(job.workflow), job, count=3)
    refused: list[object] = []

    def commit(changes: object) -> object:
        refused.append(changes)
        raise StoreUnavailableError("the database is away.")

    with world.engine(job.workflow, store=Doctored(world.store, commit=commit)) as engine:
        engine.advance(90 * SECOND)
        told = [record.getMessage() for record in caplog.records if record.name == "flowdsl.commit"]
    assert len(refused) > 3 * 10
    assert told == ["committing failed: the database is away."] * 2


def test_the_library_is_silent_until_the_program_configures_logging() -> None:
    root = logging.getLogger("flowdsl")
    assert any(isinstance(handler, logging.NullHandler) for handler in root.handlers)
    assert root.level == logging.NOTSET, "levels are the program's"

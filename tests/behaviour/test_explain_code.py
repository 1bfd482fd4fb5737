"""Why a run is where it is: what waits beside its step, what the code leads on to, and what it cannot read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.model.explanation import Because
from flowdsl.model.outcome import Outcome
from tests.behaviour.test_explain import at, reasons, text_of
from tests.behaviour.world import HOUR, Job, Status, Thing, World, failing, says_what_it_consumes, trigger


class Stage(StrEnum):
    PACKED = "packed"
    WAITING = "waiting"
    GONE = "gone"


@dataclass
class Box:
    weight: int = 1


def post() -> Workflow[Box, Stage]:
    workflow = Workflow("post", object_type=Box, status_type=Stage)

    @workflow.step(from_=Stage.PACKED, to=Stage.WAITING)
    def pack(run: Run[Box, Stage]) -> None: ...

    @workflow.callback(from_=Stage.WAITING, to=Stage.GONE)
    def fetched(run: Run[Box, Stage], payload: bytes) -> None: ...

    @workflow.timeout(from_=Stage.WAITING, to=Stage.GONE, after=3 * HOUR)
    def forgotten(run: Run[Box, Stage]) -> None: ...

    @workflow.timeout(from_=Stage.WAITING, to=Stage.GONE, at=lambda run, now: None)
    def never(run: Run[Box, Stage]) -> None: ...

    return workflow


def test_a_run_that_waits_for_a_callback_and_a_timeout(world: World) -> None:
    workflow = post()
    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "box", Box())
        engine.run_until_idle()
        since, due = at(world), at(world, 3 * HOUR)
        engine.advance(HOUR)

        explanation = handle.explain()
        assert reasons(explanation) == [Because.WAITING, Because.CALLBACK, Because.TIMEOUT, Because.TIMEOUT]
        assert str(explanation).split(". ") == [
            f"It has been in 'waiting' since {since}; no step consumes that status",
            f"Callback 'fetched' would move it on; it waits for that since {since}",
            f"Timeout 'forgotten' is due at {due}",
            "Timeout 'never' has no time.",
        ]

        handle.pause("lunch", actor="Ada")
        assert "Timeout 'forgotten' stands still while the run is paused." in text_of(handle)


def test_a_run_with_a_callback_that_came_early(world: World) -> None:
    workflow = post()
    engine = world.outsider(workflow)
    handle = engine.trigger(workflow, "box", Box())
    engine.callback(workflow, "box", Stage.WAITING, b"{}", actor="courier")

    kept = "A callback by courier for status 'waiting' is kept: it is applied when the run enters 'waiting'."
    assert kept in text_of(handle)
    handle.pause("lunch", actor="Ada")
    assert kept in text_of(handle), "a resume alone does not bring it there"


def test_a_hook_that_could_not_be_told_yet(world: World) -> None:
    job = Job(world.clock)

    @job.workflow.on_pause(err_backoff=HOUR)
    def tell(run: Run[Thing, Status]) -> None:
        raise RuntimeError("mail is down")

    with world.engine(job.workflow) as engine:
        (handle,) = trigger(world.outsider(job.workflow), job)
        handle.pause("lunch", actor="Ada")
        engine.run_until_idle()

        due = at(world, HOUR)
        said = f"Telling hook 'tell' of the pause is due at {due}, because the last attempt failed: RuntimeError: mail is down."
        assert said in text_of(handle)


def test_a_run_explained_without_its_code(world: World) -> None:
    workflow = post()
    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "box", Box())
        engine.run_until_idle()
        stranger = world.engine(store=world.open_store()).handle(handle.run_id)

        explanation = stranger.explain()
        assert reasons(explanation) == [Because.NO_CODE, Because.TIMEOUT, Because.TIMEOUT]
        assert explanation.reasons[0].remedy == "Ask with the code at hand: --app MODULE:ENGINE."

    job = Job(world.clock, failing, own={"err_backoff": HOUR})
    with world.engine(job.workflow) as engine:
        (failed,) = trigger(engine, job)
        engine.run_until_idle()
        stranger = world.engine(store=world.open_store()).handle(failed.run_id)
        assert text_of(stranger).startswith(f"The step of 'new' is tried again at {at(world, HOUR)}, attempt 2, after 1 failed")


class Later(StrEnum):
    PACKED = "packed"
    GONE = "gone"
    WEIGHED = "weighed"


def test_a_run_in_a_status_that_the_code_does_not_know_or_that_ends_there_or_leads_nowhere(world: World) -> None:
    old = post()
    with world.engine(old) as engine:
        waiting = engine.trigger(old, "box", Box())
        engine.run_until_idle()
        packed = world.outsider(old).trigger(old, "other", Box())
    new = Workflow("post", object_type=Box, status_type=Later)

    @new.step(from_=Later.WEIGHED, to=[Later.PACKED, Later.GONE])
    def weigh(run: Run[Box, Later]) -> Outcome:
        return run.skip()

    newer = world.outsider(new)
    assert "This code of 'post' does not know status 'waiting'; other code may." in text_of(newer.handle(waiting.run_id))
    with world.engine(new) as worker:  # the row of the old step stays where it is
        says_what_it_consumes(world, worker)
        assert "of which none consumes it" in text_of(newer.handle(packed.run_id))
    newer.handle(packed.run_id).pause("by new code")
    newer.handle(packed.run_id).resume()
    explanation = newer.handle(packed.run_id).explain()
    assert reasons(explanation) == [Because.NOTHING_LEADS_ON]
    assert "It is where runs end in this code, and was not when the run came there." in str(explanation)


def test_a_run_whose_row_is_missing(world: World) -> None:
    old = Workflow("post", object_type=Box, status_type=Stage)

    @old.step(from_=Stage.PACKED, to=Stage.WAITING)
    def pack(run: Run[Box, Stage]) -> None: ...

    @old.callback(from_=Stage.WAITING, to=Stage.GONE)
    def fetched(run: Run[Box, Stage]) -> None: ...

    with world.engine(old) as engine:
        handle = engine.trigger(old, "box", Box())
        engine.run_until_idle()

    @old.step(from_=Stage.WAITING, to=Stage.GONE)
    def fetch(run: Run[Box, Stage]) -> None: ...

    explanation = world.outsider(old).handle(handle.run_id).explain()
    assert reasons(explanation)[0] is Because.ROW_MISSING
    assert "Step fetch consumes its status and its row is missing: the sweeper makes it within a minute." in str(explanation)


def test_a_run_whose_object_this_code_cannot_read(world: World) -> None:
    @dataclass
    class Heavier:
        weight: int
        colour: str

    job = Workflow("post", object_type=Box, status_type=Status)
    other = Workflow("post", object_type=Heavier, status_type=Status)

    @job.step(from_=Status.NEW, to=Status.DONE)
    def one(run: Run[Box, Status]) -> None: ...

    @other.step(from_=Status.NEW, to=Status.DONE)
    def two(run: Run[Heavier, Status]) -> None: ...

    handle = world.outsider(job).trigger(job, "box", Box())
    explanation = world.outsider(other).handle(handle.run_id).explain()

    assert reasons(explanation)[-1] is Because.UNREADABLE
    assert "This code cannot read its object" in str(explanation)

"""Warnings about workflows: options, bodies read without being run, and the comments that silence them."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

import flowdsl.dsl.lint as lint_module
from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow


class S(StrEnum):
    A = "a"
    B = "b"
    C = "c"
    D = "d"


B_BY_ANOTHER_NAME = S.B


def linted(fn: Callable[..., Any], to: list[S], **options: Any) -> list[str]:
    """The codes of the warnings about one step, those about bodies with the line in the function."""
    flow = Workflow("w", object_type=dict, status_type=S)
    flow.step(from_=S.A, to=to, **options)(fn)
    first = inspect.unwrap(getattr(fn, "func", fn)).__code__.co_firstlineno
    found = []
    for finding in flow.lint():
        line = int(finding.place.rpartition(":")[2]) - first
        found.append(f"{finding.code}+{line}" if line else finding.code)
    return found


def test_a_body_that_answers_what_it_declares_has_no_warnings() -> None:
    def plain(run: Any) -> Any:
        if run.object:
            return S.B
        return S.C

    def by_name(run: Any) -> Any:
        answer = S.B if run.object else S.C
        return answer

    def by_other_means(run: Any) -> Any:
        if run.attempt == 1:
            return run.object and B_BY_ANOTHER_NAME or S["C"]
        if run.attempt == 2:
            return run.cancel("no")
        return S("c")

    def raises(run: Any) -> Any:
        try:
            return S.B
        except ValueError:
            return S.C
        finally:
            run.object.clear()

    def forever(run: Any) -> Any:
        while True:
            if run.object:
                return S.B
            return S.C

    for fn in (plain, by_name, by_other_means, raises, forever):
        assert linted(fn, [S.B, S.C]) == [], fn


def test_a_status_that_is_answered_and_not_declared_is_found_at_its_line() -> None:
    def step(run: Any) -> Any:
        if run.object:
            return S.D
        return S.B if run.attempt else S.C

    assert linted(step, [S.B, S.C]) == ["undeclared-answer+2"]
    assert linted(step, [S.B, S.C, S.D]) == []


def test_a_destination_that_is_never_answered_is_found() -> None:
    def step(run: Any) -> Any:
        return S.B

    def never(run: Any) -> Any:
        raise NotImplementedError

    assert linted(step, [S.B, S.C]) == ["unanswered-destination"]
    assert linted(never, [S.B]) == ["unanswered-destination"]


def test_one_destination_is_answered_by_nothing() -> None:
    def silent(run: Any) -> None:
        run.object.clear()

    def explicit(run: Any) -> Any:
        return None

    assert linted(silent, [S.B]) == []
    assert linted(explicit, [S.B]) == []


def test_with_several_destinations_no_answer_is_found() -> None:
    def falls_through(run: Any) -> Any:  # noqa: RET503
        if run.object:
            return S.B
        if run.attempt > 1:
            return S.C

    def explicit(run: Any) -> Any:
        if run.object:
            return None
        return S.B if run.attempt else S.C

    assert linted(falls_through, [S.B, S.C]) == ["no-answer"]
    assert linted(explicit, [S.B, S.C]) == ["no-answer+2"]


def test_what_cannot_be_understood_is_not_warned_about() -> None:
    def table(run: Any) -> Any:
        return {1: S.B}.get(run.attempt, S.C)

    def asks(run: Any) -> Any:
        return table(run)

    def parameter(run: Any, answer: S = S.B) -> Any:
        return answer

    def loop(run: Any) -> Any:
        for answer in (S.B, S.C):
            if run.object:
                return answer
        return S.B

    def ends_with_a_call(run: Any) -> Any:  # noqa: RET503
        if run.object:
            return S.B if run.attempt else S.C
        run.object.anything()

    def match(run: Any) -> Any:
        match run.attempt:
            case 1:
                return S.B
            case _:
                return S.C

    for fn in (table, asks, parameter, loop, ends_with_a_call, match):
        assert linted(fn, [S.B, S.C]) == [], fn


def test_what_functions_inside_answer_is_their_own() -> None:
    def step(run: Any) -> Any:
        def inner() -> S:
            return S.D

        inner()
        return S.B

    assert linted(step, [S.B]) == []


def test_async_and_wrapped_functions_and_statuses_of_closures_are_read() -> None:
    local = S.D

    async def step(run: Any) -> Any:
        return local

    def wraps(fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fn)
        def wrapper(run: Any) -> Any:
            return fn(run)

        return wrapper

    def answers_d(run: Any) -> Any:
        return S.D

    assert linted(step, [S.B]) == ["undeclared-answer+1", "unanswered-destination"]
    assert linted(wraps(answers_d), [S.B]) == ["undeclared-answer+1", "unanswered-destination"]
    assert linted(functools.partial(answers_d), [S.B]) == ["undeclared-answer+1", "unanswered-destination"]


def test_a_callable_object_is_read_and_what_has_no_source_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Charge:
        def __call__(self, run: Any) -> Any:
            return S.D

    flow = Workflow("w", object_type=dict, status_type=S)
    flow.step(from_=S.A, to=S.B)(Charge())
    (tmp_path / "gone.py").write_text("def no_source(run):\n    return run.no_status\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    gone = importlib.import_module("gone")
    (tmp_path / "gone.py").unlink()

    assert [finding.code for finding in flow.lint()] == ["undeclared-answer", "unanswered-destination"]
    assert linted(gone.no_source, [S.B, S.C]) == []
    assert linted(lambda run: S.D, [S.B]) == []


def test_a_body_is_never_run() -> None:
    def step(run: Any) -> Any:
        raise AssertionError("it was run")

    assert linted(step, [S.B]) == ["unanswered-destination"]


def test_a_step_that_is_never_paused_is_retried_without_end() -> None:
    def step(run: Any) -> Any:
        return S.B

    assert linted(step, [S.B], pause_after_err_count=0) == ["unbounded-retry"]
    assert linted(step, [S.B], pause_after_err_count=None) == ["unbounded-retry"]
    assert linted(step, [S.B], pause_after_err_count=1) == []


def around(**options: Any) -> Workflow[dict[str, Any], S]:
    """A to B and back, and out."""
    flow: Workflow[dict[str, Any], S] = Workflow("w", object_type=dict, status_type=S, allow_cycles=True)
    flow.step(from_=S.A, to=S.B)(lambda run: S.B)
    flow.step(from_=S.B, to=[S.C, S.D])(lambda run: S.C)
    flow.step(from_=S.C, to=S.B, **options)(lambda run: S.B)
    return flow


def test_a_cycle_is_found_unless_a_step_on_it_waits() -> None:
    assert [finding.code for finding in around().lint()] == ["unguarded-cycle"]
    assert around(consume_lag=timedelta(minutes=1)).lint() == []


def test_a_comment_silences_a_warning_in_the_head_of_its_function_or_on_the_line() -> None:
    flow = Workflow("w", object_type=dict, status_type=S)

    @flow.step(from_=S.A, to=[S.B, S.C])  # flowdsl: ignore[unanswered-destination]
    def head(run: Run[dict[str, Any], S]) -> S:
        return S.B

    @flow.step(from_=S.B, to=S.C)
    def line(run: Run[dict[str, Any], S]) -> S:
        if run.object:
            return S.D  # flowdsl: ignore[undeclared-answer, no-timeout]
        return S.C

    @flow.step(
        from_=S.C,
        to=S.D,
        pause_after_err_count=0,  # flowdsl: ignore[unbounded-retry]
    )
    def long_head(run: Run[dict[str, Any], S]) -> S:
        return S.D

    assert flow.lint() == []


def test_a_comment_silences_nothing_else_and_nowhere_else() -> None:
    flow = Workflow("w", object_type=dict, status_type=S)

    @flow.step(from_=S.A, to=[S.B, S.C])  # flowdsl: ignore[no-answer]
    def head(run: Run[dict[str, Any], S]) -> S:
        run.object.clear()
        # flowdsl: ignore[unanswered-destination]
        return S.B

    text = "# flowdsl: ignore[unanswered-destination]"
    assert [finding.code for finding in flow.lint()] == ["unanswered-destination"]
    assert text


def test_a_code_that_does_not_exist_is_found() -> None:
    flow = Workflow("w", object_type=dict, status_type=S)

    @flow.step(from_=S.A, to=S.B)  # flowdsl: ignore[unbound-retry]
    def head(run: Run[dict[str, Any], S]) -> S:
        return S.B

    (found,) = flow.lint()
    assert (found.code, found.remedy) == ("unknown-code", "Did you mean 'unbounded-retry'?")


def test_a_warning_about_several_steps_is_at_the_first_of_them() -> None:
    assert [finding.place for finding in around().lint()] == [f"{__file__}:{around.__code__.co_firstlineno + 4}"], (
        "the place of the step that the way round begins with"
    )


@pytest.mark.parametrize("code", sorted(lint_module.CODES))
def test_every_code_is_in_the_docs(code: str) -> None:
    assert f"| `{code}` |" in (Path(__file__).parents[3] / "docs" / "diagrams.md").read_text("utf-8")

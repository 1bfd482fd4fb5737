"""The state of a run as people read it and as programs do."""

from __future__ import annotations

import json

import msgspec
import pytest

from flowdsl.model.run_state import RunState


def test_a_text_of_a_state_is_what_people_read() -> None:
    assert str(RunState.RUNNING) == f"{RunState.RUNNING}" == "%s" % RunState.RUNNING == "Running"  # noqa: UP031
    assert f"{RunState.REQUESTED_DATA_DELETED:>24}|" == "  Requested Data Deleted|"


@pytest.mark.parametrize("state", RunState)
def test_what_programs_read_of_a_state_is_its_number(state: RunState) -> None:
    number = state.value

    assert json.dumps([state]) == msgspec.json.encode([state]).decode() == f"[{number}]"
    assert f"{state:d}" == "%d" % state == str(int(state)) == str(number)  # noqa: UP031
    assert state == number
    assert RunState(number) is state

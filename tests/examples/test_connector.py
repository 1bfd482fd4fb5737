"""The connector example: every parcel is shipped, events that come again change nothing, what cannot be is kept."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from examples.connector import __main__ as program
from examples.connector.parcels import Status, parcels
from examples.connector.stream import EVENTS, from_file
from flowdsl import Engine
from flowdsl.model.dead_letter import DeadLetter
from flowdsl.testing.stepped import SteppedEngine
from tests.services import RABBITMQ, broker

SHIPPED = {f"p-{number}" for number in range(1, 9)}


def stored(url: str) -> tuple[dict[str, int], list[DeadLetter]]:
    """How often each parcel has a run, and the dead letters."""
    client = Engine.client(parcels, store=url)
    runs: dict[str, int] = {}
    for run in client.runs(parcels, limit=100).runs:
        runs[run.foreign_id] = runs.get(run.foreign_id, 0) + 1
    letters = list(client.dead_letters.list().letters)
    client.stop()
    return runs, letters


@pytest.mark.parametrize("through", ["file", "rabbitmq"])
def test_started_twice_it_ships_every_parcel_once(through: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path / 'parcels.db'}"
    more = [] if through == "file" else ["--amqp", broker(RABBITMQ)]
    for _ in range(2):
        assert program.main(["--store", url, *more]) == 0
        said = capsys.readouterr().out
        assert "p-1: shipped, label p-1/250 g, driver Cleo" in said
    runs, letters = stored(url)
    assert runs == dict.fromkeys(SHIPPED, 1)
    assert {letter.event_id: letter.attempts for letter in letters} == {"e-17": 3, "e-90": 0}


def test_in_one_thread_it_does_the_same() -> None:
    with SteppedEngine(parcels, sources={"warehouse": from_file(EVENTS)}) as engine:
        engine.advance(timedelta(seconds=1))
        for parcel in SHIPPED:
            assert engine.latest(parcels, parcel).run().status is Status.SHIPPED
        assert len(engine.dead_letters.list().letters) == 2

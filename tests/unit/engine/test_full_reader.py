"""A reader of the stream while no lane has a place for what it would bring."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from flowdsl.errors import StreamerError
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from tests.unit.engine.script import Script
from tests.unit.engine.test_streaming import SECOND, Fleet


def test_a_reader_without_a_place_for_anything_is_heard_of_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker whose client is silent for long takes it for dead, and closes its connection."""
    fleet = Fleet(Script())
    with fleet.instance(handoff=False) as engine:
        reader = engine.worker.reader
        assert reader is not None
        reader.step()
        receiver = reader._receiver
        assert receiver is not None
        asked: list[Sequence[TopicQuota]] = []
        error: list[StreamerError] = []

        def receive(quotas: Sequence[TopicQuota], timeout: timedelta) -> Sequence[Event]:
            asked.append(quotas)
            if error:
                raise error.pop()
            return []

        monkeypatch.setattr(receiver, "receive", receive)
        for lane in reader._lanes.values():
            lane.take(lane.room())

        reader.step()
        assert asked == [[]]

        error.append(StreamerError("the broker is away."))
        assert not reader.step()
        assert not reader.step()
        assert len(asked) == 2, "it is asked again a second later"
        fleet.clock.advance(SECOND)
        reader.step()
        assert len(asked) == 3
        for lane in reader._lanes.values():
            for _ in range(lane.open):
                lane.close(handed=False)

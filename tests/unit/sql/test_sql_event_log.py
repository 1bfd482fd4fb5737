"""The event log: many writers at once, readers that die, events that grow old."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flowdsl.errors import ConfigurationError, StreamerError
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.ports.event_streamer import EventReceiver
from flowdsl.testing.clock import ManualClock
from flowdsl_sql import event_streamer as event_streamer_module
from flowdsl_sql.event_streamer import SqlEventStreamer, open_streamer
from tests.services import SQL_DATABASES, sql_database

TOPIC = "default/orders/created"
PATIENCE = timedelta(seconds=20)


@pytest.fixture(params=SQL_DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with sql_database(request.param, tmp_path) as found:
        open_streamer(found, migrate=True).close()
        yield found


@pytest.fixture
def streamer(url: str) -> Iterator[SqlEventStreamer]:
    made = open_streamer(url)
    yield made
    made.close()


def make(topic: str = TOPIC) -> Event:
    return Event(event_id=uuid.uuid4().hex, topic=topic, created_at=datetime.now(UTC))


def receive(receiver: EventReceiver, count: int, limit: int = 1000) -> list[Event]:
    found: list[Event] = []
    while len(found) < count:
        got = receiver.receive([TopicQuota(TOPIC, min(limit, count - len(found)))], PATIENCE)
        assert got, f"{len(found)} of {count} came"
        found += got
    return found


def test_no_event_is_stepped_over_while_many_write(url: str, streamer: SqlEventStreamer) -> None:
    receiver = streamer.receiver("steps", [TOPIC])
    batches = [[[make() for _ in range(7)] for _ in range(15)] for _ in range(4)]

    def write(mine: list[list[Event]]) -> None:
        writer = open_streamer(url)
        for batch in mine:
            writer.publish(batch)
        writer.close()

    writers = [threading.Thread(target=write, args=[mine]) for mine in batches]
    for writer in writers:
        writer.start()
    found = receive(receiver, 4 * 15 * 7, limit=10)
    for writer in writers:
        writer.join()

    assert len({event.event_id for event in found}) == len(found) == 4 * 15 * 7
    receiver.acknowledge(found)
    receiver.close()


def test_readers_of_one_name_that_read_at_once_get_each_event_once(url: str, streamer: SqlEventStreamer) -> None:
    streamer.receiver("steps", [TOPIC]).close()
    events = [make() for _ in range(200)]
    streamer.publish(events)
    found: list[Event] = []

    def read() -> None:
        own = open_streamer(url)
        receiver = own.receiver("steps", [TOPIC])
        while got := receiver.receive([TopicQuota(TOPIC, 7)], timedelta(0)):
            receiver.acknowledge(got)
            found.extend(got)
        own.close()

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()

    assert sorted(event.event_id for event in found) == sorted(event.event_id for event in events)


def test_what_a_killed_reader_held_comes_to_another_and_no_more_than_asked_for(url: str) -> None:
    own = f"{url}{'&' if '?' in url else '?'}claim_after=0.5"
    streamer = open_streamer(own)
    receiver = streamer.receiver("steps", [TOPIC])
    events = [make() for _ in range(5)]
    streamer.publish(events)
    code = f"""
import os, signal
from datetime import timedelta
from flowdsl.model.pending import TopicQuota
from flowdsl_sql.event_streamer import open_streamer
receiver = open_streamer({own!r}).receiver("steps", [{TOPIC!r}])
assert len(receiver.receive([TopicQuota({TOPIC!r}, 4)], timedelta(seconds=10))) == 4
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9

    found = receive(receiver, 5, limit=2)

    assert {event.event_id for event in found} == {event.event_id for event in events}
    receiver.acknowledge(found)
    receiver.close()
    streamer.close()


def test_events_that_are_too_old_go_and_readers_step_over_them(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streamer_module, "PURGE_EVERY", 0.0)
    clock = ManualClock()
    streamer = open_streamer(f"{url}{'&' if '?' in url else '?'}keep=3600", clock=clock)
    receiver = streamer.receiver("steps", [TOPIC])
    streamer.publish([make(), make()])
    clock.advance(timedelta(hours=2))
    young = make()
    streamer.publish([young])
    streamer.publish([make("other")])

    late = streamer.receiver("late", [TOPIC])

    assert receive(receiver, 1) == [young]
    assert receive(late, 1) == [young]
    assert list(receiver.receive([TopicQuota(TOPIC, 5)], timedelta(0))) == []
    streamer.close()


def test_what_is_no_event_is_put_aside(streamer: SqlEventStreamer, caplog: pytest.LogCaptureFixture) -> None:
    receiver = streamer.receiver("steps", [TOPIC])
    event = make()
    streamer.publish([make(), event])
    streamer._database.write(
        lambda session: session.later("UPDATE flowdsl_event SET event = ? WHERE place = 1", (b"\xffsecret",))
    )

    with caplog.at_level(logging.ERROR):
        assert receive(receiver, 1) == [event]
    receiver.acknowledge([event])

    assert "put aside" in caplog.text
    assert "secret" not in caplog.text
    assert streamer._database.read(lambda session: session.all("SELECT * FROM flowdsl_taken")) in ([], ())
    receiver.close()


def test_a_database_that_is_gone_is_a_streamer_error(tmp_path: Path) -> None:
    streamer = open_streamer(f"sqlite:///{tmp_path / 'events.db'}")
    receiver = streamer.receiver("steps", [TOPIC])
    streamer._database.write(lambda session: session.later("DROP TABLE flowdsl_topic"))
    with pytest.raises(StreamerError, match="publishing failed"):
        streamer.publish([make()])
    with pytest.raises(StreamerError, match="receiving failed"):
        receiver.receive([TopicQuota(TOPIC, 1)], timedelta(0))
    streamer.close()


def test_an_option_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="keep='week'"):
        open_streamer(f"sqlite:///{tmp_path / 'events.db'}?keep=week")

"""The event log: many writers at once, readers that die, events that grow old."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import pytest

from flowdsl.errors import ConfigurationError, StoreUnavailableError, StreamerError
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.ports.event_streamer import EventReceiver
from flowdsl.testing.clock import ManualClock
from flowdsl_sql import retention as retention_module
from flowdsl_sql.database import Session
from flowdsl_sql.event_streamer import SqlEventStreamer, open_streamer
from tests.services import SQL_DATABASES, sql_database

TOPIC = "default/orders/created"
PATIENCE = timedelta(seconds=20)


@pytest.fixture(params=SQL_DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with sql_database(request.param, tmp_path) as found:
        open_streamer(found, migrate=True).close()
        yield found


def with_options(url: str, **options: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(options)}" if options else url


class Opener(Protocol):
    """Opens one more streamer on the same log, as another process would."""

    def __call__(self, *, clock: ManualClock | None = None, **options: str) -> SqlEventStreamer: ...


@pytest.fixture
def another(url: str) -> Iterator[Opener]:
    opened: list[SqlEventStreamer] = []

    def make(*, clock: ManualClock | None = None, **options: str) -> SqlEventStreamer:
        opened.append(open_streamer(with_options(url, **options), clock=clock))
        return opened[-1]

    yield make
    for streamer in opened:
        streamer.close()


@pytest.fixture
def streamer(another: Opener) -> SqlEventStreamer:
    return another()


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
    own = with_options(url, claim_after="0.5")
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


def test_events_that_are_too_old_go_and_readers_step_over_them(another: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention_module, "EVERY", 0.0)
    clock = ManualClock()
    streamer = another(keep="3600", clock=clock)
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


def lose(streamer: SqlEventStreamer) -> None:
    """As if every event had been too old."""
    streamer._database.write(lambda session: session.later("DELETE FROM flowdsl_event"))


def count(streamer: SqlEventStreamer, table: str) -> int:
    (row,) = streamer._database.read(lambda session: session.all(f"SELECT COUNT(*) FROM {table}"))  # noqa: S608 - a name of ours
    return int(row[0])


def test_an_event_that_comes_while_a_reader_steps_over_lost_ones_is_not_stepped_over(
    another: Opener, streamer: SqlEventStreamer, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = streamer.receiver("steps", [TOPIC])
    streamer.publish([make(), make()])
    lose(streamer)
    other, event, real = another(), make(), Session.all
    writers: list[threading.Thread] = []

    def then_publish(session: Session, sql: str, parameters: Sequence[Any] = ()) -> Sequence[Any]:
        rows = real(session, sql, parameters)
        if sql.startswith("SELECT place, event") and not writers:
            assert not rows
            writers.append(threading.Thread(target=other.publish, args=[[event]]))
            writers[0].start()
            if session.dialect.name != "sqlite":  # whose one writer is the reader now
                writers[0].join()
        return rows

    monkeypatch.setattr(Session, "all", then_publish)

    assert receive(receiver, 1) == [event]

    writers[0].join()


def test_a_reader_is_told_how_many_events_it_lost_and_a_new_name_has_lost_none(
    streamer: SqlEventStreamer, caplog: pytest.LogCaptureFixture
) -> None:
    slow = streamer.receiver("slow", [TOPIC])
    streamer.publish([make() for _ in range(3)])
    lose(streamer)
    young = make()

    with caplog.at_level(logging.WARNING):
        assert list(slow.receive([TopicQuota(TOPIC, 1)], timedelta(0))) == []
        assert f"'slow' lost 3 events of {TOPIC}" in caplog.text
        caplog.clear()
        streamer.publish([make(), make()])
        lose(streamer)
        streamer.publish([young])
        assert receive(streamer.receiver("new", [TOPIC]), 1) == [young]
        assert "lost" not in caplog.text
        assert receive(slow, 1) == [young]
        assert f"'slow' lost 2 events of {TOPIC}" in caplog.text


def test_an_acknowledgement_that_failed_can_be_given_again(streamer: SqlEventStreamer, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = streamer.receiver("steps", [TOPIC])
    streamer.publish([make() for _ in range(3)])
    got = receive(receiver, 3)

    def unreachable(_: object) -> None:
        raise StoreUnavailableError("no answer")

    with monkeypatch.context() as broken:
        broken.setattr(streamer._database, "write", unreachable)
        with pytest.raises(StreamerError, match="acknowledging failed"):
            receiver.acknowledge(got[:2])
    receiver.acknowledge(got[:2])
    receiver.close()

    again = streamer.receiver("steps", [TOPIC])
    assert receive(again, 1) == got[2:]
    assert list(again.receive([TopicQuota(TOPIC, 5)], timedelta(0))) == []


def test_a_late_reader_does_not_bring_back_what_another_has_taken_over(another: Opener) -> None:
    clock = ManualClock()
    streamer = another(clock=clock)
    late, next_one = (streamer.receiver("steps", [TOPIC]) for _ in range(2))
    streamer.publish([make() for _ in range(3)])
    got = receive(late, 3)
    clock.advance(timedelta(minutes=2))
    taken_over = list(next_one.receive([TopicQuota(TOPIC, 2)], timedelta(0)))
    next_one.acknowledge(taken_over)

    late.acknowledge([event for event in got if event not in taken_over])
    clock.advance(timedelta(minutes=2))

    assert len(taken_over) == 2
    assert list(next_one.receive([TopicQuota(TOPIC, 5)], timedelta(0))) == []
    assert count(streamer, "flowdsl_taken") == 0


def test_however_many_events_are_too_old_a_few_publishes_remove_them_also_where_nobody_writes_any_more(
    another: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "BATCH", 10)
    clock = ManualClock()
    streamer = another(keep="3600", clock=clock)
    streamer.publish([make() for _ in range(35)])
    streamer.publish([make("given up") for _ in range(15)])
    clock.advance(timedelta(hours=2))
    later = another(keep="3600", clock=clock)

    for _ in range(6):
        later.publish([make()])

    assert count(streamer, "flowdsl_event") == 6


def test_a_publish_does_not_fail_because_old_events_could_not_be_removed(
    another: Opener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    streamer = another(keep="3600", clock=clock)
    streamer.publish([make()])
    clock.advance(timedelta(hours=2))
    later = another(keep="3600", clock=clock)
    real = Session.later

    def not_removing(session: Session, sql: str, parameters: Sequence[Any] = ()) -> None:
        if sql.startswith("DELETE FROM flowdsl_event"):
            raise StoreUnavailableError("no answer")
        real(session, sql, parameters)

    monkeypatch.setattr(Session, "later", not_removing)

    with caplog.at_level(logging.WARNING):
        assert list(later.publish([make()])) == [True]
    assert "old events were not removed" in caplog.text


def test_many_that_write_a_new_topic_first_all_succeed(another: Opener, streamer: SqlEventStreamer) -> None:
    failures: list[BaseException] = []
    together = threading.Barrier(4)

    def write(own: SqlEventStreamer) -> None:
        try:
            together.wait()
            for number in range(10):
                own.publish([make(f"new-{number}"), make(TOPIC)])
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=[another()]) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert failures == []
    assert count(streamer, "flowdsl_event") == 80


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

"""The receiver over SQS: asks the queues of its topics one after the other."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from flowdsl.clock import Clock
from flowdsl.errors import StreamerError, UnreadableEventError
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.model.quotas import limits_of
from flowdsl.model.wire import decode
from flowdsl.ports.event_streamer import EventReceiver
from flowdsl_kombu.sqs_link import BATCH, SqsLink, batches

log = logging.getLogger("flowdsl.kombu")
SHORTEST, LONGEST = 0.05, 1.0
"""Seconds between two rounds over empty queues, from the one, doubling, to the other: each is a paid request for each topic."""


class SqsReceiver(EventReceiver):
    """What it gave out stays invisible to others until it is acknowledged, given back by `close`, or the visibility timeout of
    the queue is over."""

    def __init__(self, link: SqsLink, name: str, topics: Sequence[str], clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._queues = {topic: link.declare(name, topic) for topic in topics}
        self._out: dict[str, list[tuple[str, str]]] = {}
        """By event id: queue and receipt of everything that was given out and not acknowledged."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._pause = SHORTEST

    def receive(self, quotas: Sequence[TopicQuota], timeout: timedelta) -> Sequence[Event]:
        self._check()
        limits = limits_of(quotas, self._queues)
        if not limits:
            return []
        end = self._clock.monotonic() + timeout.total_seconds()
        while True:
            found = self._round(limits)
            if found:
                self._pause = SHORTEST
            left = end - self._clock.monotonic()
            if found or left <= 0:
                return found
            self._stop.wait(min(left, self._pause))
            self._pause = min(2 * self._pause, LONGEST)
            self._check()

    def acknowledge(self, events: Sequence[Event]) -> None:
        with self._lock:
            receipts = [receipt for event in events for receipt in self._out.pop(event.event_id, ())]
        self._delete(receipts)

    def close(self) -> None:
        if self._stop.is_set():
            return
        self._stop.set()
        with self._lock:
            receipts = [receipt for places in self._out.values() for receipt in places]
            self._out.clear()
        with contextlib.suppress(StreamerError), self._link.translated("giving back"):
            for queue, batch in _by_queue(receipts):
                entries = [{**entry, "VisibilityTimeout": 0} for entry in batch]
                self._link.client().change_message_visibility_batch(QueueUrl=queue, Entries=entries)

    def _check(self) -> None:
        if self._stop.is_set():
            raise StreamerError("the receiver is closed.")

    def _round(self, limits: Mapping[str, int]) -> list[Event]:
        """Up to the limit of each topic; a queue that answers with less than it was asked for is left."""
        found: list[Event] = []
        unreadable: list[tuple[str, str]] = []
        with self._link.translated("receiving"):
            for topic, limit in limits.items():
                queue, left = self._queues[topic], limit
                while left > 0:
                    asked = min(left, BATCH)
                    answer = self._link.client().receive_message(QueueUrl=queue, MaxNumberOfMessages=asked, WaitTimeSeconds=0)
                    messages = answer.get("Messages", [])
                    for message in messages:
                        event = self._event(topic, queue, message, unreadable)
                        if event is not None:
                            found.append(event)
                    left -= len(messages)
                    if len(messages) < asked:
                        break
        self._delete(unreadable)
        return found

    def _event(self, topic: str, queue: str, message: Mapping[str, Any], unreadable: list[tuple[str, str]]) -> Event | None:
        place = (queue, str(message["ReceiptHandle"]))
        try:
            event = decode(str(message["Body"]).encode())
        except UnreadableEventError as error:
            log.error("put aside in %s: %s", topic, error)
            unreadable.append(place)
            return None
        with self._lock:
            self._out.setdefault(event.event_id, []).append(place)
        return event

    def _delete(self, receipts: Sequence[tuple[str, str]]) -> None:
        with self._link.translated("acknowledging"):
            for queue, batch in _by_queue(receipts):
                self._link.client().delete_message_batch(QueueUrl=queue, Entries=batch)


def _by_queue(receipts: Sequence[tuple[str, str]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Batches of one queue each."""
    by_queue: dict[str, list[dict[str, Any]]] = {}
    for queue, receipt in receipts:
        entries = by_queue.setdefault(queue, [])
        entries.append({"Id": str(len(entries)), "ReceiptHandle": receipt})
    return [(queue, batch) for queue, entries in by_queue.items() for batch in batches(entries)]

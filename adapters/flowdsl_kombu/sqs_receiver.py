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
from flowdsl_kombu.errors import QueueGoneError
from flowdsl_kombu.sqs_batch import MOST, by_queue, failures
from flowdsl_kombu.sqs_link import SqsLink
from flowdsl_kombu.sqs_queues import SqsQueues

log = logging.getLogger("flowdsl.kombu")
SHORTEST, LONGEST = 0.05, 1.0
"""Seconds between two rounds over empty queues, from the one, doubling, to the other: each is a paid request for each topic."""


class SqsReceiver(EventReceiver):
    """What it gave out stays invisible to others until it is acknowledged, given back by `close`, or the visibility timeout is
    over. Queues that are gone are declared again."""

    def __init__(self, link: SqsLink, queues: SqsQueues, name: str, topics: Sequence[str], clock: Clock) -> None:
        self._link = link
        self._names = queues
        self._name = name
        self._clock = clock
        self._queues = {topic: queues.declare(name, topic) for topic in topics}
        self._out: dict[str, list[tuple[str, str]]] = {}
        """By event id: queue and receipt of everything that was given out and not acknowledged."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._pause = SHORTEST
        self._next_round = clock.monotonic()
        self._empty: frozenset[str] = frozenset()
        """The topics that had nothing in the last round."""

    def receive(self, quotas: Sequence[TopicQuota], timeout: timedelta) -> Sequence[Event]:
        self._check()
        limits = limits_of(quotas, self._queues)
        if not limits:
            return []
        now = self._clock.monotonic()
        end = now + timeout.total_seconds()
        if not self._empty.issuperset(limits):  # a topic that nobody asked for meanwhile may have much
            self._pause, self._next_round = SHORTEST, now
        while True:
            if self._clock.monotonic() >= self._next_round:
                found = self._round(limits)
                if found:
                    self._empty = frozenset()
                    return found
                self._empty = frozenset(limits)
                self._next_round = self._clock.monotonic() + self._pause
                self._pause = min(2 * self._pause, LONGEST)
            now = self._clock.monotonic()
            if now >= end:
                return []
            self._stop.wait(max(min(end, self._next_round) - now, 0.0))
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
        with contextlib.suppress(StreamerError):  # else they come again when the visibility timeout is over
            client = self._link.client()
            for queue, entries in by_queue(receipts, VisibilityTimeout=0):
                with self._link.translated("giving back"):
                    client.change_message_visibility_batch(QueueUrl=queue, Entries=entries)

    def _check(self) -> None:
        if self._stop.is_set():
            raise StreamerError("the receiver is closed.")

    def _round(self, limits: Mapping[str, int]) -> list[Event]:
        """Up to the limit of each topic; a queue that answers with less than it was asked for is left. An error that ends the
        round is raised if it brought nothing yet: what it brought is not kept waiting for a later one."""
        found: list[Event] = []
        try:
            for topic, limit in limits.items():
                left = limit
                while left > 0:
                    asked = min(left, MOST)
                    messages = self._messages(topic, asked)
                    self._take(topic, messages, found)
                    left -= len(messages)
                    if len(messages) < asked:
                        break
        except StreamerError as error:
            if not found:
                raise
            log.info("a round ended early: %s", error)
        return found

    def _messages(self, topic: str, count: int) -> list[Mapping[str, Any]]:
        client = self._link.client()
        queue = self._queues[topic]
        try:
            with self._link.translated("receiving"):
                answer = client.receive_message(
                    QueueUrl=queue,
                    MaxNumberOfMessages=count,
                    WaitTimeSeconds=0,
                    # said each time, because what a queue was made with may be the setting of another day
                    VisibilityTimeout=int(self._link.visibility.total_seconds()),
                )
        except QueueGoneError as error:
            log.warning("a queue of %s is made again: %s", topic, error)
            self._names.forget(topic, queue)
            self._queues[topic] = self._names.declare(self._name, topic)
            return []
        return list(answer.get("Messages", ()))

    def _take(self, topic: str, messages: Sequence[Mapping[str, Any]], found: list[Event]) -> None:
        unreadable: list[tuple[str, str]] = []
        for message in messages:
            place = (self._queues[topic], str(message["ReceiptHandle"]))
            try:
                event = decode(str(message["Body"]).encode())
            except UnreadableEventError as error:
                log.error("put aside in %s: %s", topic, error)
                unreadable.append(place)
                continue
            with self._lock:
                self._out.setdefault(event.event_id, []).append(place)
            found.append(event)
        self._delete(unreadable)

    def _delete(self, receipts: Sequence[tuple[str, str]]) -> None:
        if not receipts:
            return
        client = self._link.client()
        for queue, entries in by_queue(receipts):
            try:
                with self._link.translated("acknowledging"):
                    answer = client.delete_message_batch(QueueUrl=queue, Entries=entries)
            except QueueGoneError:
                continue  # and so are its messages
            if failed := failures(answer):
                log.info("%d of %d acknowledgements had no effect: %s", len(failed), len(entries), failed[0].get("Code"))

"""The event streamer over SQS."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence

from flowdsl.clock import Clock
from flowdsl.errors import StreamerError
from flowdsl.model.event import Event
from flowdsl.model.wire import encode
from flowdsl.ports.event_streamer import EventReceiver, EventStreamer, StartFrom
from flowdsl_kombu.sqs_link import SqsLink, batches
from flowdsl_kombu.sqs_receiver import SqsReceiver


class SqsEventStreamer(EventStreamer):
    """A queue for each receiver name and topic, found by its name; at-least-once.

    kombu makes the client and knows the URL; requests are made by batches of ten on it directly, because kombu's own consumer
    polls one queue after the other for whole seconds and, when it closes, sends copies of what it had not acknowledged.
    """

    retains_history = False

    def __init__(self, url: str, options: Mapping[str, str], *, prefix: str, clock: Clock) -> None:
        self._link = SqsLink(url, options, prefix, clock)
        self._clock = clock
        self._receivers: weakref.WeakSet[SqsReceiver] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"SqsEventStreamer({self._link.shown!r})"

    def publish(self, events: Sequence[Event]) -> Sequence[bool]:
        self._check()
        confirmed = [True] * len(events)
        by_queue: dict[str, list[dict[str, str]]] = {}
        for number, event in enumerate(events):
            for queue in self._link.queues(event.topic):
                by_queue.setdefault(queue, []).append({"Id": str(number), "MessageBody": encode(event).decode()})
        with self._link.translated("publishing"):
            for queue, entries in by_queue.items():
                for batch in batches(entries):
                    answer = self._link.client().send_message_batch(QueueUrl=queue, Entries=batch)
                    for failed in answer.get("Failed", ()):
                        confirmed[int(failed["Id"])] = False
        return confirmed

    def receiver(self, name: str, topics: Sequence[str], start: StartFrom = StartFrom.OLDEST) -> EventReceiver:
        self._check()
        made = SqsReceiver(self._link, name, list(dict.fromkeys(topics)), self._clock)
        with self._lock:
            self._receivers.add(made)
        return made

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with self._lock:
            receivers = list(self._receivers)
        for receiver in receivers:
            receiver.close()
        self._link.close()

    def _check(self) -> None:
        if self._closed:
            raise StreamerError("the streamer is closed.")

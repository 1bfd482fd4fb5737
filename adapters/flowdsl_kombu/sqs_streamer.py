"""The event streamer over SQS."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Sequence

from flowdsl.clock import Clock
from flowdsl.errors import StreamerError
from flowdsl.model.event import Event
from flowdsl.ports.event_streamer import EventReceiver, EventStreamer, StartFrom
from flowdsl_kombu.address import Address
from flowdsl_kombu.errors import MessageRefusedError, QueueGoneError
from flowdsl_kombu.sqs_batch import Entry, batches, body, failures
from flowdsl_kombu.sqs_link import SqsLink
from flowdsl_kombu.sqs_queues import SqsQueues
from flowdsl_kombu.sqs_receiver import SqsReceiver

log = logging.getLogger("flowdsl.kombu")


class SqsEventStreamer(EventStreamer):
    """A queue for each receiver name and topic, found by its name; at-least-once.

    kombu makes the client and knows the URL; requests are made by batches of ten on it directly, because kombu's own consumer
    polls one queue after the other for whole seconds and, when it closes, sends copies of what it had not acknowledged.
    """

    retains_history = False

    def __init__(self, address: Address, *, clock: Clock) -> None:
        self._link = SqsLink(address)
        self._queues = SqsQueues(self._link, address.prefix, clock)
        self._clock = clock
        self._receivers: weakref.WeakSet[SqsReceiver] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"SqsEventStreamer({self._link.shown!r})"

    def publish(self, events: Sequence[Event]) -> Sequence[bool]:
        """As the port says. An event that SQS does not take, because it is too large, is not confirmed and logged as an error."""
        self._check()
        confirmed = [True] * len(events)
        entries: dict[tuple[str, str], list[Entry]] = {}
        for number, event in enumerate(events):
            if queues := self._queues.of(event.topic):
                entry = {"Id": str(number), "MessageBody": body(event)}
                for queue in queues:
                    entries.setdefault((event.topic, queue), []).append(entry)
        for (topic, queue), wanted in entries.items():
            for batch in batches(wanted):
                for failed in self._send(topic, queue, batch):
                    confirmed[failed] = False
        return confirmed

    def receiver(self, name: str, topics: Sequence[str], start: StartFrom = StartFrom.OLDEST) -> EventReceiver:
        self._check()
        made = SqsReceiver(self._link, self._queues, name, list(dict.fromkeys(topics)), self._clock)
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

    def _send(self, topic: str, queue: str, batch: list[Entry]) -> list[int]:
        """The numbers of the events that the queue did not take."""
        client = self._link.client()
        try:
            with self._link.translated("publishing"):
                answer = client.send_message_batch(QueueUrl=queue, Entries=batch)
        except QueueGoneError:
            self._queues.forget(topic, queue)  # a name that is gone is not interested
            return []
        except MessageRefusedError as error:
            if len(batch) > 1:  # one of them spoils the request
                return [number for entry in batch for number in self._send(topic, queue, [entry])]
            log.error("an event of %d bytes for %s is not published: %s", len(batch[0]["MessageBody"].encode()), topic, error)
            return [int(batch[0]["Id"])]
        failed = failures(answer)
        if failed:
            log.warning("SQS did not take %d of %d events for %s: %s", len(failed), len(batch), topic, failed[0].get("Code"))
        return [int(entry["Id"]) for entry in failed]

    def _check(self) -> None:
        if self._closed:
            raise StreamerError("the streamer is closed.")

"""Reading somebody else's queue at SQS."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from flowdsl.clock import Clock
from flowdsl.errors import StreamerError
from flowdsl.model.event import ConnectorEvent
from flowdsl.model.reading import Message, Reading, text
from flowdsl.ports.connector_source import ConnectorReader
from flowdsl_kombu.errors import QueueGoneError
from flowdsl_kombu.sqs_batch import MOST, by_queue, failures
from flowdsl_kombu.sqs_link import SqsLink

log = logging.getLogger("flowdsl.kombu")
SHORTEST, LONGEST = 0.05, 1.0
"""Seconds between two looks at an empty queue, from the one, doubling, to the other: each is a paid request."""


class SqsConnectorReader(ConnectorReader):
    """What it gave out stays invisible to others, however long it takes: its visibility is renewed at half time, while `receive`
    is called. A closed reader makes it visible at once."""

    def __init__(self, link: SqsLink, queue: str, reading: Reading, prefetch: int, clock: Clock) -> None:
        self._link = link
        self._reading = reading
        self._prefetch = prefetch
        self._clock = clock
        self._out: dict[str, list[str]] = {}
        """Receipts by event id of everything that was given out and not acknowledged."""
        self._visible_until: dict[str, float] = {}
        """By receipt: the monotonic time at which others get it."""
        self._stop = threading.Event()
        self._pause = SHORTEST
        self._next_look = clock.monotonic()
        try:
            with link.translated("looking for a queue"):
                self._url = str(link.client().get_queue_url(QueueName=queue)["QueueUrl"])
        except QueueGoneError as error:
            raise StreamerError(
                f"there is no queue {queue}.", remedy="A source reads what is there: check the name, or let its owner make it."
            ) from error

    def receive(self, limit: int, timeout: timedelta) -> Sequence[ConnectorEvent]:
        self._check()
        end = self._clock.monotonic() + timeout.total_seconds()
        self._renew()
        room = min(limit, self._prefetch - len(self._visible_until))
        while room > 0:
            if self._clock.monotonic() >= self._next_look:
                found = self._messages(room)
                if found:
                    self._pause = SHORTEST
                    return found
                self._next_look = self._clock.monotonic() + self._pause
                self._pause = min(2 * self._pause, LONGEST)
            now = self._clock.monotonic()
            if now >= end:
                return []
            self._stop.wait(max(min(end, self._next_look) - now, 0.0))
            self._check()
        return []

    def acknowledge(self, events: Sequence[ConnectorEvent]) -> None:
        receipts = [receipt for event in events for receipt in self._out.get(event.event_id, ())]
        client = self._link.client()
        for queue, entries in by_queue((self._url, receipt) for receipt in receipts):
            with self._link.translated("acknowledging"):
                answer = client.delete_message_batch(QueueUrl=queue, Entries=entries)
            if failed := failures(answer):
                log.info("%d of %d acknowledgements had no effect: %s", len(failed), len(entries), failed[0].get("Code"))
        for event in events:  # what was said in vain can be said again
            for receipt in self._out.pop(event.event_id, ()):
                self._visible_until.pop(receipt, None)

    def close(self) -> None:
        if self._stop.is_set():
            return
        self._stop.set()
        with contextlib.suppress(StreamerError):  # else they come again when the visibility timeout is over
            self._change(list(self._visible_until), 0)
        self._out.clear()
        self._visible_until.clear()

    def _check(self) -> None:
        if self._stop.is_set():
            raise StreamerError("the reader is closed.")

    def _messages(self, room: int) -> list[ConnectorEvent]:
        found: list[ConnectorEvent] = []
        client = self._link.client()
        visibility = int(self._link.visibility.total_seconds())
        while len(found) < room:
            asked = min(MOST, room - len(found))
            until = self._clock.monotonic() + visibility
            try:
                with self._link.translated("receiving"):
                    answer = client.receive_message(
                        QueueUrl=self._url,
                        MaxNumberOfMessages=asked,
                        WaitTimeSeconds=0,
                        VisibilityTimeout=visibility,
                        AttributeNames=["All"],
                        MessageAttributeNames=["All"],
                    )
            except StreamerError as error:
                if not found:
                    raise
                log.info("a look ended early: %s", error)
                break
            messages: Sequence[Mapping[str, Any]] = answer.get("Messages", ())
            for raw in messages:
                event = self._event(raw)
                receipt = str(raw["ReceiptHandle"])
                self._out.setdefault(event.event_id, []).append(receipt)
                self._visible_until[receipt] = until
                found.append(event)
            if len(messages) < asked:
                break
        return found

    def _event(self, raw: Mapping[str, Any]) -> ConnectorEvent:
        system: Mapping[str, Any] = raw.get("Attributes", {})
        attributes: Mapping[str, Mapping[str, Any]] = raw.get("MessageAttributes", {})
        headers = {name: text(value.get("StringValue", value.get("BinaryValue"))) for name, value in attributes.items()}
        sent = int(system.get("SentTimestamp", 0))
        message = Message(
            body=str(raw["Body"]).encode(),
            headers=headers,
            message_id=str(raw["MessageId"]),
            type=headers.get("type", ""),
            key=str(system.get("MessageGroupId", "")),
            sent_at=datetime.fromtimestamp(sent / 1000, UTC) if sent else None,
        )
        again = int(system.get("ApproximateReceiveCount", 1)) > 1
        return self._reading.event(message, self._clock.now(), redelivered=again)

    def _renew(self) -> None:
        """Ask for more time for what is in hand, when half of it is over."""
        visibility = self._link.visibility.total_seconds()
        now = self._clock.monotonic()
        old = [receipt for receipt, until in self._visible_until.items() if until - now < visibility / 2]
        if old:
            self._change(old, int(visibility))
            for receipt in old:
                self._visible_until[receipt] = now + visibility

    def _change(self, receipts: Iterable[str], visibility: int) -> None:
        client = self._link.client()
        for queue, entries in by_queue(((self._url, receipt) for receipt in receipts), VisibilityTimeout=visibility):
            with self._link.translated("renewing" if visibility else "giving back"):
                client.change_message_visibility_batch(QueueUrl=queue, Entries=entries)

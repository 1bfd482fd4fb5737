"""The sender: publishes batches, one wait for all confirms."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from flowdsl.clock import Clock
from flowdsl.model.event import Event
from flowdsl.model.wire import encode_bundle
from flowdsl_kombu.bundles import bundled
from flowdsl_kombu.errors import ConfirmTimeoutError, translated
from flowdsl_kombu.link import Link
from flowdsl_kombu.names import Names
from flowdsl_kombu.traits import Traits

log = logging.getLogger("flowdsl.kombu")
CONFIRM_TIMEOUT = 10.0
PERSISTENT = 2
CONTENT_TYPE = "application/json"


class Sender:
    """One link for all threads of the process, one batch at a time."""

    def __init__(self, url: str, traits: Traits, options: dict[str, Any], prefix: str, clock: Clock) -> None:
        self._clock = clock
        self._traits = traits
        self._prefix = prefix
        self._names: Names | None = traits.names() if traits.names is not None else None
        self._link = Link(url, traits, options, self._set_up, heartbeat=False)
        self._lock = threading.Lock()
        self._sent = 0
        self._waiting: set[int] = set()
        self._refused: set[int] = set()

    def publish(self, events: Sequence[Event]) -> list[bool]:
        with self._lock:
            fresh = not self._link.open
            try:
                return self._publish(events)
            except ConfirmTimeoutError:
                raise
            except Exception:
                if fresh:
                    raise
            return self._publish(events)  # a connection may die while it idles: once more on a new one

    def close(self) -> None:
        with self._lock:
            self._link.close()

    def _publish(self, events: Sequence[Event]) -> list[bool]:
        channel = self._link.channel()
        try:
            with translated(self._link.connection, "publishing"):
                return self._routed(channel, events) if self._names is None else self._by_name(channel, self._names, events)
        except BaseException:
            self._link.drop()
            raise

    def _set_up(self, channel: Any) -> None:
        self._sent = 0
        self._waiting.clear()
        self._refused.clear()
        if self._traits.native_routing:
            channel.exchange_declare(exchange=exchange(self._prefix), type="direct", durable=True, auto_delete=False)
            channel.confirm_select()
            channel.events["basic_ack"].add(self._acked)
            channel.events["basic_nack"].add(self._nacked)
            channel.events["basic_return"].add(_returned)

    def _routed(self, channel: Any, events: Sequence[Event]) -> list[bool]:
        tags = [0] * len(events)
        bundles = bundled(events)
        for places in bundles:
            self._sent += 1
            self._waiting.add(self._sent)
            for place in places:
                tags[place] = self._sent
            message = self._message(channel, [events[place] for place in places])
            topic = events[places[0]].topic
            channel.basic_publish(message, exchange=exchange(self._prefix), routing_key=topic, mandatory=True)
        end = self._clock.monotonic() + CONFIRM_TIMEOUT
        while self._waiting:
            left = end - self._clock.monotonic()
            try:
                if left <= 0:
                    raise TimeoutError
                self._link.connection.drain_events(timeout=left)
            except TimeoutError as error:
                raise ConfirmTimeoutError(
                    f"the broker did not confirm {len(self._waiting)} of {len(bundles)} messages within {CONFIRM_TIMEOUT:.0f} s.",
                    remedy="Look whether it is blocked (memory, disk) or overloaded.",
                ) from error
        refused, self._refused = self._refused, set()
        return [tag not in refused for tag in tags]

    def _by_name(self, channel: Any, names: Names, events: Sequence[Event]) -> list[bool]:
        queues = names.of(channel, self._prefix, sorted({event.topic for event in events}))
        for places in bundled(events):
            for queue in queues[events[places[0]].topic]:
                channel.basic_publish(self._message(channel, [events[place] for place in places]), "", queue)
        return [True] * len(events)

    def _message(self, channel: Any, events: Sequence[Event]) -> Any:
        body = encode_bundle(events)
        properties = {"delivery_mode": PERSISTENT, "message_id": events[0].event_id}
        if self._names is not None:
            return channel.prepare_message(body.decode(), 0, CONTENT_TYPE, "utf-8", {}, properties)
        return channel.prepare_message(body, 0, CONTENT_TYPE, "utf-8", {}, properties)

    def _acked(self, tag: int, multiple: bool) -> None:
        if multiple:
            self._waiting = {waiting for waiting in self._waiting if waiting > tag}
        else:
            self._waiting.discard(tag)

    def _nacked(self, tag: int, multiple: bool) -> None:
        refused = {waiting for waiting in self._waiting if waiting <= tag} if multiple else {tag}
        self._refused |= refused
        self._waiting -= refused


def exchange(prefix: str) -> str:
    """The exchange that all topics share."""
    return f"{prefix}events"


def _returned(_error: Exception, _exchange: str, topic: str, _message: Any) -> None:
    log.debug("nobody reads %s: its events were dropped", topic)

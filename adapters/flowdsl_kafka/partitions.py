"""Reading a group's share of topics: messages, and how far each partition is done."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from flowdsl.clock import Clock
from flowdsl.errors import StreamerError
from flowdsl_kafka.address import Address
from flowdsl_kafka.errors import configuring, translated

log = logging.getLogger("flowdsl.kafka")
ANSWER = 10.0
"""Seconds that a broker has for an answer."""
SLICE = 0.25
"""Longest wait of one look, in seconds: after it the reader may have been closed by another thread."""
FETCH = 500
AHEAD = 1000
"""Messages of a topic that are kept ahead before its partitions are paused."""
NOTE = 3500
"""Characters of a commit's metadata; brokers take 4096."""
NOTED = NOTE // 2
"""Offsets that a note has room for, at most."""
GROUP_MOVES = (KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID)
"""Why a commit is refused while members come and go: it is made up for by a later one, or by whoever gets the partition."""
Place = tuple[str, int, int]
"""Kafka topic, partition, offset."""


class _Partition:
    """What was read of one partition and is not done."""

    def __init__(self, skip: Iterable[int] = ()) -> None:
        self.open: set[int] = set()
        self.done: set[int] = set(skip)
        """Beyond the first that is open, as far as they can be noted."""
        self.position = 0
        """After the last offset that was read."""
        self.start = 0
        """Where it was when it became ours."""

    def finish(self, offset: int) -> None:
        """It is done. While one before it is not, which may be for hours, no more are remembered than can be noted."""
        self.open.discard(offset)
        if len(self.done) < NOTED:
            self.done.add(offset)

    def commit(self, topic: str, number: int) -> TopicPartition:
        """Up to the first offset that is not done; what is done beyond it is noted beside, since Kafka keeps one number only.
        What there is no room for comes again, should the partition change hands before."""
        base = min(self.open, default=self.position)
        self.done = {offset for offset in self.done if offset >= base}
        note = ",".join(str(offset - base) for offset in sorted(self.done))
        return TopicPartition(topic, number, base, note if len(note) <= NOTE else note[: NOTE + 1].rpartition(",")[0])


class PartitionReader:
    """A member of a consumer group. Offsets are committed as messages are done; of partitions that another member has got
    meanwhile nothing is committed any more. In: the group; from where a group begins that has no place; Kafka topics."""

    def __init__(self, address: Address, group: str, topics: Sequence[str], *, newest: bool, clock: Clock) -> None:
        self.shown = address.shown
        self.buffers: dict[str, deque[Any]] = {topic: deque() for topic in topics}
        """Messages by Kafka topic, read and not yet taken."""
        self._clock = clock
        self._lock = threading.RLock()
        self._partitions: dict[tuple[str, int], _Partition] = {}
        self._paused: set[str] = set()
        self._trouble: KafkaError | None = None
        self._closed = False
        settings = {
            "session.timeout.ms": 10_000,
            "topic.metadata.refresh.interval.ms": 5_000,
            "queued.max.messages.kbytes": 4096,
            "allow.auto.create.topics": True,
            **address.config,
            "bootstrap.servers": address.brokers,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "latest" if newest else "earliest",
            "error_cb": self._failed,
        }
        with configuring(self.shown):
            self._consumer = Consumer(settings, logger=log)
        try:
            with translated(self.shown, "making a receiver"):
                self._begin(topics, newest)
                self._consumer.subscribe(list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)
        except BaseException:
            self._consumer.close()
            raise

    def look(self, wait: float, enough: Callable[[], bool]) -> None:
        """Take in what has come, waiting at most `wait` seconds until there is enough. Raises StreamerError."""
        end = self._clock.monotonic() + wait
        while True:
            with self._lock:
                self.check()
                with translated(self.shown, "receiving"):
                    self._pause_full_topics()
                    left = max(0.0, end - self._clock.monotonic())
                    messages = self._consumer.consume(FETCH, timeout=min(SLICE, left))
                for message in messages:
                    self._take(message)
            if enough() or self._clock.monotonic() >= end:
                break
        if self._trouble is not None and not enough():
            trouble, self._trouble = self._trouble, None
            with translated(self.shown, "receiving"):
                raise KafkaException(trouble)

    def done(self, places: Iterable[Place]) -> None:
        """These messages are done. Those of partitions that are no longer ours are left to whoever has them."""
        touched: dict[tuple[str, int], _Partition] = {}
        with self._lock:
            if self._closed:
                return
            for topic, number, offset in places:
                partition = self._partitions.get((topic, number))
                if partition is not None and offset in partition.open:
                    partition.finish(offset)
                    touched[topic, number] = partition
            offsets = [partition.commit(*key) for key, partition in touched.items()]
            if offsets:
                with translated(self.shown, "acknowledging"):
                    try:
                        self._consumer.commit(offsets=offsets, asynchronous=False)
                    except KafkaException as error:
                        if error.args[0].code() not in GROUP_MOVES:
                            raise
                        log.info("the group is being shared out anew; some events may come again: %s", error)

    def doubtful(self, place: Place) -> bool:
        """Whether another member may have had this message: it is among the first since its partition became ours."""
        topic, number, offset = place
        with self._lock:
            partition = self._partitions.get((topic, number))
            return partition is None or offset < partition.start + AHEAD

    def close(self) -> None:
        """Leave the group: others get the partitions at once."""
        with self._lock:
            if not self._closed:
                self._closed = True
                with translated(self.shown, "closing"):
                    self._consumer.close()

    def check(self) -> None:
        if self._closed:
            raise StreamerError("the receiver is closed.")

    # -- inside ---------------------------------------------------------------------------------------------------------------

    def _begin(self, topics: Sequence[str], newest: bool) -> None:
        """Give the group a place in every partition where it has none, so that what is sent from now on is not missed while the
        group forms. A group with members has its places already."""
        places = [TopicPartition(topic, number) for topic in topics for number in self._numbers(topic)]
        fresh = [place for place in self._consumer.committed(places, timeout=ANSWER) if place.offset < 0]
        for place in fresh:
            low, high = self._consumer.get_watermark_offsets(place, timeout=ANSWER)
            place.offset = high if newest else low
        if fresh:
            try:
                self._consumer.commit(offsets=fresh, asynchronous=False)
            except KafkaException as error:
                log.info("the group has members already: %s", error)

    def _numbers(self, topic: str) -> list[int]:
        """The partitions of a topic, which is made by asking for it where the brokers allow that."""
        end = self._clock.monotonic() + ANSWER
        while True:
            found = self._consumer.list_topics(topic, timeout=ANSWER).topics.get(topic)
            if found is not None and found.error is None and found.partitions:
                return sorted(found.partitions)
            if self._clock.monotonic() > end:
                raise StreamerError(
                    f"the Kafka topic {topic} is not there.", remedy="Make it, or let the brokers make topics by themselves."
                )

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        known: Mapping[tuple[str, int], Any] = {
            (place.topic, place.partition): place for place in consumer.committed(places, timeout=ANSWER)
        }
        for place in places:
            was = known.get((place.topic, place.partition))
            skip: list[int] = []
            if was is not None and was.offset >= 0 and was.metadata:
                skip = [was.offset + int(step) for step in was.metadata.split(",") if step.isdigit()]
            partition = _Partition(skip)
            partition.position = partition.start = was.offset if was is not None and was.offset >= 0 else 0
            self._partitions[place.topic, place.partition] = partition
        self._paused.clear()

    def _revoked(self, _: Consumer, places: list[TopicPartition]) -> None:
        gone = {(place.topic, place.partition) for place in places}
        for key in gone:
            self._partitions.pop(key, None)
        for topic, buffer in self.buffers.items():
            kept = [message for message in buffer if (topic, message.partition()) not in gone]
            buffer.clear()
            buffer.extend(kept)

    def _take(self, message: Any) -> None:
        error = message.error()
        if error is not None:
            if error.code() not in (KafkaError._PARTITION_EOF, KafkaError.UNKNOWN_TOPIC_OR_PART):
                self._trouble = error
            return
        self._trouble = None
        topic, offset = message.topic(), message.offset()
        partition = self._partitions.get((topic, message.partition()))
        if partition is None or offset in partition.open:
            return
        partition.position = offset + 1
        if offset in partition.done:
            return  # an earlier reader was done with it
        partition.open.add(offset)
        self.buffers[topic].append(message)

    def _pause_full_topics(self) -> None:
        full = {topic for topic, buffer in self.buffers.items() if len(buffer) >= AHEAD}
        for topics, change in ((full - self._paused, self._consumer.pause), (self._paused - full, self._consumer.resume)):
            places = [TopicPartition(topic, number, OFFSET_BEGINNING) for topic, number in self._partitions if topic in topics]
            if places:
                change(places)
        self._paused = full

    def _failed(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._trouble = error

"""What is remembered of a partition while one of its messages is not done."""

from __future__ import annotations

from flowdsl_kafka.partitions import NOTE, _Partition

MANY = 20_000


def read(partition: _Partition, count: int) -> None:
    for offset in range(partition.position, partition.position + count):
        partition.open.add(offset)
    partition.position += count


def test_behind_a_message_that_fails_for_long_no_more_is_remembered_than_can_be_noted() -> None:
    partition = _Partition()
    read(partition, MANY)
    for offset in range(1, MANY):
        partition.finish(offset)

    place = partition.commit("t", 0)

    assert len(partition.done) < NOTE
    assert place.offset == 0
    note = place.metadata or ""
    assert 0 < len(note) <= NOTE
    noted = [int(step) for step in note.split(",")]
    assert noted == list(range(1, 1 + len(noted))), "whole numbers, of messages that are done"

    partition.finish(0)
    place = partition.commit("t", 0)
    assert (place.offset, place.metadata) == (MANY, "")
    assert not partition.done

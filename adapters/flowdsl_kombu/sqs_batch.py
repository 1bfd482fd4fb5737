"""Batches that SQS takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flowdsl.model.event import Event
from flowdsl.model.wire import encode

MOST = 10
"""Entries of one request; SQS takes no more."""
BYTES = 256 * 1024
"""Of all messages of one request. SQS takes more since 2025, servers that speak its protocol may not."""

Entry = dict[str, Any]


def batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """As few as their number and the bytes of their bodies allow; one that is too large by itself is alone."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        length = len(str(entry.get("MessageBody", "")).encode())
        if batch and (len(batch) == MOST or size + length > BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += length
    if batch:
        yield batch


def by_queue(receipts: Iterable[tuple[str, str]], **more: Any) -> Iterator[tuple[str, list[Entry]]]:
    """Batches of receipts, each of one queue. In: pairs of a queue and a receipt; what every entry is to say beside them."""
    queues: dict[str, list[Entry]] = {}
    for queue, receipt in receipts:
        entries = queues.setdefault(queue, [])
        entries.append({"Id": str(len(entries)), "ReceiptHandle": receipt, **more})
    return ((queue, batch) for queue, entries in queues.items() for batch in batches(entries))


def body(event: Event) -> str:
    """An event as the text of a message: two characters that JSON may hold and SQS refuses are written as JSON's escapes."""
    return encode(event).decode().replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def failures(answer: Mapping[str, Any]) -> list[Entry]:
    """The entries of a request that were not done, each with `Id` and `Code`."""
    return list(answer.get("Failed", ()))

"""Orders as JSON Lines: one order a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from examples.order_processor.workflow import Order

SHIPPED = Path(__file__).with_name("orders.jsonl")


class OrderFileError(Exception):
    """A line is not an order."""


def read_orders(path: Path) -> Iterator[Order]:
    """The orders of a file. Raises OrderFileError with path and line at the first line that is not one: an order that is left out
    in silence is worse than a late start. Blank lines are passed over."""
    decoder = msgspec.json.Decoder(Order)
    seen: dict[str, int] = {}
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                order = decoder.decode(line)
            except msgspec.DecodeError as error:
                raise OrderFileError(f"{path}:{number}: not an order: {error}") from error
            if order.order_id in seen:
                raise OrderFileError(f"{path}:{number}: order {order.order_id!r} stands in line {seen[order.order_id]} too")
            seen[order.order_id] = number
            yield order

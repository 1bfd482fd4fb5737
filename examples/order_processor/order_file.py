"""Orders as JSON Lines: one order a line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from examples.order_processor.workflow import Order

SHIPPED = Path(__file__).with_name("orders.jsonl")
SHOWN = 10
"""Bad lines that an error names; a file of another kind has nothing else."""


class BadLines(StrEnum):
    """What to do about lines that are no orders."""

    STOP = "stop"
    """Start nothing: an order that is left out in silence is worse than a late start."""
    SKIP = "skip"
    """Name them and go on with the others."""


class OrderFileError(Exception):
    """The file cannot be used as it is."""


@dataclass
class OrderFile:
    """The orders of a file in its order, and what is wrong with its other lines: `path:line: why`."""

    orders: list[Order]
    problems: list[str]


def read_orders(path: Path, bad_lines: BadLines = BadLines.STOP) -> OrderFile:
    """Read all of a file before anything is started. Blank lines are passed over. A line that is not an order, or has the id of
    an earlier one, is a problem. Raises OrderFileError when there are problems and `bad_lines` is STOP, and when there is no
    order; OSError."""
    decoder = msgspec.json.Decoder(Order)
    first_line: dict[str, int] = {}
    found = OrderFile([], [])
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not text.strip():
                continue
            try:
                order = decoder.decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                found.problems.append(f"{path}:{number}: not an order: {error}")
                continue
            if order.order_id in first_line:
                found.problems.append(f"{path}:{number}: order {order.order_id!r} is in line {first_line[order.order_id]} too")
                continue
            first_line[order.order_id] = number
            found.orders.append(order)
    if found.problems and bad_lines is BadLines.STOP:
        more = f"\nand {len(found.problems) - SHOWN} more lines" if len(found.problems) > SHOWN else ""
        shown = "\n".join(found.problems[:SHOWN])
        raise OrderFileError(f"{shown}{more}\nNothing was started. Mend the file, or leave these lines out: --bad-lines skip")
    if not found.orders:
        raise OrderFileError(f"{path}: no order in it")
    return found

"""Makes the file of orders that ships with the example: `python -m examples.order_processor.make_orders > orders.jsonl`."""

from __future__ import annotations

import random
import sys

import msgspec

from examples.order_processor.workflow import Line, Order

GOODS = {  # cents
    "kettle": 3490,
    "teapot": 2750,
    "mug-blue": 895,
    "mug-white": 895,
    "darjeeling-250g": 1420,
    "assam-500g": 1780,
    "sencha-100g": 1260,
    "strainer": 540,
    "honey": 730,
    "shortbread": 475,
}
NAMES = [
    "Ada",
    "Grace",
    "Linus",
    "Barbara",
    "Edsger",
    "Radia",
    "Donald",
    "Frances",
    "Ken",
    "Margaret",
    "Dennis",
    "Hedy",
    "Tim",
    "Adele",
    "John",
    "Shafi",
]


def make_orders(count: int, seed: int = 7) -> list[Order]:
    """Orders that look like a day's: mostly fine, a few cancelled, a few that cannot be delivered."""
    rng = random.Random(seed)
    orders = []
    for number in range(1, count + 1):
        skus = rng.sample(sorted(GOODS), rng.choices([1, 2, 3, 4], [5, 4, 2, 1])[0])
        lines = [Line(sku, rng.choices([1, 2, 3, 6], [8, 3, 1, 1])[0], GOODS[sku]) for sku in skus]
        if rng.random() < 0.02:
            lines = rng.choice([[], [Line(lines[0].sku, 0, lines[0].unit_cents)]])
        orders.append(Order(f"order-{number:05d}", rng.choice(NAMES), lines, cancel_requested=rng.random() < 0.03))
    return orders


def as_line(order: Order) -> str:
    """What a shop would send: without what the workflow adds."""
    line: dict[str, object] = {"order_id": order.order_id, "customer": order.customer, "lines": order.lines}
    if order.cancel_requested:
        line["cancel_requested"] = True
    return msgspec.json.encode(line).decode()


if __name__ == "__main__":
    for order in make_orders(1000):
        sys.stdout.write(f"{as_line(order)}\n")

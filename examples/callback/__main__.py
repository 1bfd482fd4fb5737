"""`python -m examples.callback`: webhooks in the wrong order, and one of them twice."""

from __future__ import annotations

import sys
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from examples.callback.deliveries import Delivery, Status, build
from flowdsl import Engine

CALLS = (
    (Status.WITH_COURIER, b'{"signed_by": "Grace"}', "call-2"),  # early: it is kept
    (Status.BOOKED, b'{"driver": 7}', "call-0"),  # no driver is called 7
    (Status.BOOKED, b'{"driver": "Ada"}', "call-1"),
    (Status.BOOKED, b'{"driver": "Ada"}', "call-1"),  # again
)


def main(store: str = "memory://") -> int:
    deliveries = build(thank=lambda driver: None)
    shown = Table("callback for", "payload", "became")
    with Engine.from_url(deliveries, store=store) as engine:
        handle = engine.trigger(deliveries, "parcel-1", Delivery("12 St James's Square"))
        for status, payload, call in CALLS:
            result = engine.callback(deliveries, "parcel-1", status, payload, idempotency_key=call)
            shown.add_row(status.value, payload.decode(), f"{result.outcome} {result.detail}".rstrip())
        run = handle.wait(timeout=timedelta(seconds=30))
    console = Console()
    console.print(shown)
    console.print(f"{run.foreign_id} is {run.status.value}: {run.object}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

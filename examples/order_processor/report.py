"""What is said at the end: a table for people, or one JSON object."""

from __future__ import annotations

import json

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from examples.order_processor.processing import Summary
from examples.order_processor.services import Balance


def as_json(summary: Summary, balance: Balance) -> str:
    """One line. Money in cents."""
    return json.dumps(
        {
            "orders": summary.count,
            "started": summary.started,
            "found": summary.found,
            "unfinished": summary.unfinished,
            "outcomes": {
                outcome.name: {"orders": outcome.count, "share": outcome.count / summary.count, "cents": outcome.cents}
                for outcome in summary.outcomes
            },
            "charged_cents": balance.charged,
            "refunded_cents": balance.refunded,
            "repeated_requests": balance.repeated,
        }
    )


def as_table(summary: Summary, balance: Balance, store: str) -> RenderableType:
    url = "URL" if "@" in store else store  # there may be a password in it
    table = Table(title=f"{summary.count} orders", title_justify="left")
    table.add_column("outcome")
    for name in ("orders", "share", "total"):
        table.add_column(name, justify="right")
    for outcome in summary.outcomes:
        table.add_row(Text(outcome.name), str(outcome.count), f"{outcome.count / summary.count:.1%}", money(outcome.cents))
    lines = [
        f"The provider booked {money(balance.charged)} of charges and {money(balance.refunded)} of refunds. It was asked again"
        f" {balance.repeated} times for what it had booked, and booked nothing twice."
    ]
    if summary.found:
        lines.append(f"{summary.found} orders had been started before and were not started again.")
    if summary.unfinished:
        lines.append(f"{summary.unfinished} are paused. See why: flowdsl runs --store {url} --state paused")
    lines.append(f"Look closer: flowdsl runs --store {url}")
    return Group(table, *(Text(line) for line in lines))


def money(cents: int) -> str:
    return f"{cents / 100:,.2f}"

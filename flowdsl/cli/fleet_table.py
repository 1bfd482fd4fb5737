"""The fleet, for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from flowdsl.cli.cleaning import clean
from flowdsl.cli.render import plain_table
from flowdsl.cli.span import span_text
from flowdsl.engine.sentence import count
from flowdsl.model.fleet import Fleet, FleetInstance, FleetLane

_UNKNOWN = Text("-", style="dim")


def fleet_tables(fleet: Fleet, *, every: bool) -> RenderableType:
    """In: whether lanes are wanted in which nothing waits."""
    waiting = [lane for lane in fleet.lanes if lane.due or lane.waiting]
    idle = len(fleet.lanes) - len(waiting)
    shown = fleet.lanes if every else waiting
    parts: list[RenderableType] = [_instances(fleet), Text()]
    if shown:
        parts += [_lanes(shown), Text()]
    if waiting and not every:
        parts.append(Text(f"Nothing waits in {count(idle, 'other lane')}.", style="dim") if idle else Text())
    elif fleet.lanes and not waiting:
        parts.append(Text(f"Nothing waits in any of {count(len(fleet.lanes), 'lane')}.", style="dim"))
    elif not fleet.lanes:
        parts.append(
            Text("What waits is known with the code (--app), or when an instance has told what it consumes.", style="dim")
        )
    return Group(*parts)


def _instances(fleet: Fleet) -> RenderableType:
    if not fleet.instances:
        return Text(f"No instance is alive in namespace {clean(fleet.namespace)!r}: nobody works on runs.", style="yellow")
    table = plain_table("instance", "machine", "process", "consumes", "lapses in")
    table.columns[0].no_wrap = True
    for one in fleet.instances:
        left = None if one.expires_at is None else one.expires_at - fleet.at
        table.add_row(
            Text(clean(one.instance)),
            Text(clean(one.machine)) if one.machine else _UNKNOWN,
            str(one.pid) if one.pid else _UNKNOWN,
            _consumes(one),
            _UNKNOWN if left is None else Text(span_text(left)),
        )
    return table


def _consumes(instance: FleetInstance) -> Text:
    if instance.consumers is None:
        return Text("unknown", style="dim")
    return Text(count(len(instance.consumers), "lane"))


def _lanes(lanes: Sequence[FleetLane]) -> RenderableType:
    table = plain_table("workflow", "for", "due", "oldest", "later", "consumers")
    for column in table.columns[2:]:
        column.justify = "right"
    for lane in lanes:
        nobody = lane.due > 0 and lane.consumers == 0
        table.add_row(
            Text(clean(lane.workflow)),
            Text(clean(f"{lane.kind} {lane.name}".rstrip())),
            Text(str(lane.due), style="" if lane.due else "dim"),
            Text(span_text(lane.oldest)) if lane.due else _UNKNOWN,
            Text(str(lane.waiting), style="" if lane.waiting else "dim"),
            Text("none", style="bold red") if nobody else Text(str(lane.consumers)),
        )
    return table

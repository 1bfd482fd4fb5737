"""flowdsl show: everything about one run."""

from __future__ import annotations

from typing import Annotated

import typer

from flowdsl.cli import arguments
from flowdsl.cli.connection import connected, find_run
from flowdsl.cli.console import emit, out, say
from flowdsl.cli.problem import UsageProblem
from flowdsl.cli.render import drawing, timeline
from flowdsl.cli.timeline_view import TimelineView
from flowdsl.clock import SystemClock
from flowdsl.graph.build import FlowGraph
from flowdsl.graph.path import path, with_moves


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run id, or WORKFLOW/FOREIGN_ID for the latest run of that.")],
    with_object: Annotated[bool, typer.Option("--object/--no-object", help="Show the run's object.")] = True,
    graph: Annotated[
        bool, typer.Option("--graph", help="Draw the way that it took, on the workflow's diagram where --app has its code.")
    ] = False,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Show a run: its history with causes, actors and times, what waits for it, its object."""
    if graph and json:
        raise UsageProblem("--graph is for people, --json for programs.", remedy="Give one of them.")
    with connected(store, app, namespace) as engine:
        handle = find_run(engine, run)
        record, history = handle.record(), handle.history()
        view = TimelineView.of(record, history, handle.pending(), handle.receipt(), with_object=with_object)
        known = [workflow.graph for workflow in engine.workflows if workflow.name == record.workflow]
    if json:
        emit(view)
        return
    now = SystemClock().now()
    out().print(timeline(view, now))
    if graph:
        flow = with_moves(known[0] if known else FlowGraph(record.workflow, [], {}), history)
        say("")
        out().print(drawing(path(flow.diagram(), record, history, now)), soft_wrap=True)

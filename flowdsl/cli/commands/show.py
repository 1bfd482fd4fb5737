"""flowdsl show: everything about one run."""

from __future__ import annotations

from typing import Annotated

import typer

from flowdsl.cli import arguments
from flowdsl.cli.connection import connected, find_run
from flowdsl.cli.console import emit, out
from flowdsl.cli.render import timeline
from flowdsl.cli.timeline_view import TimelineView
from flowdsl.clock import SystemClock


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run id, or WORKFLOW/FOREIGN_ID for the latest run of that.")],
    with_object: Annotated[bool, typer.Option("--object/--no-object", help="Show the run's object.")] = True,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Show a run: its history with causes, actors and times, what waits for it, its object."""
    with connected(store, app, namespace) as engine:
        handle = find_run(engine, run)
        view = TimelineView.of(handle.record(), handle.history(), handle.pending(), with_object=with_object)
    if json:
        emit(view)
    else:
        out().print(timeline(view, SystemClock().now()))

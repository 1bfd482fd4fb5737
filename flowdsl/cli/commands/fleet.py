"""flowdsl fleet: who works, and what waits for them?"""

from __future__ import annotations

from typing import Annotated

import typer

from flowdsl.cli import arguments
from flowdsl.cli.connection import connected
from flowdsl.cli.console import emit, out
from flowdsl.cli.fleet_table import fleet_tables


def fleet(
    every: Annotated[bool, typer.Option("--all", "-a", help="Also the lanes in which nothing waits.")] = False,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Show who works and what waits for them: live instances; rows that are due, how long, and who consumes them."""
    with connected(store, app, namespace) as engine:
        found = engine.fleet()
    if json:
        emit(found)
    else:
        out().print(fleet_tables(found, every=every))

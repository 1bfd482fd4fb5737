"""flowdsl explain: why is a run where it is?"""

from __future__ import annotations

from typing import Annotated

import typer

from flowdsl.cli import arguments
from flowdsl.cli.connection import connected, find_run
from flowdsl.cli.console import emit, out
from flowdsl.cli.explanation_text import explanation_text


def explain(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run id, or WORKFLOW/FOREIGN_ID for the latest run of that.")],
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Say why a run is where it is and what would change that. With its code (--app) it says more."""
    with connected(store, app, namespace) as engine:
        found = find_run(engine, run).explain()
    if json:
        emit(found)
    else:
        console = out()
        console.print(explanation_text(found, console))

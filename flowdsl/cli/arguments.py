"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Store = Annotated[
    str | None, typer.Option("--store", metavar="URL", help="The store, e.g. sqlite:///orders.db. Environment: FLOWDSL_STORE.")
]
App = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="MODULE:ENGINE",
        help="An engine or a function returning one: its workflows, and its store unless --store is given. "
        "Environment: FLOWDSL_APP.",
    ),
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", help="The fleet's namespace on the store. Environment: FLOWDSL_NAMESPACE.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON, one object per line.")]
Runs = Annotated[list[str], typer.Argument(metavar="RUN...", help="Run ids, or WORKFLOW/FOREIGN_ID for the latest run of that.")]
Actor = Annotated[str | None, typer.Option("--actor", help="Who does it, for the history. Default: your user name.")]

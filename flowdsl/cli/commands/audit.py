"""flowdsl audit: operations on many runs."""

from __future__ import annotations

from typing import Annotated

import typer

from flowdsl.cli import arguments
from flowdsl.cli.bulk_view import audit_table
from flowdsl.cli.connection import connected
from flowdsl.cli.console import emit, note, out
from flowdsl.cli.problem import unfit_after
from flowdsl.model.query import QueryError


def audit(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="At most this many.")] = 25,
    after: Annotated[str, typer.Option("--after", metavar="KEY", help="Go on where a list ended (`key` in JSON).")] = "",
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """List operations on many runs, newest first: who did what to which, when, why, and what became of it."""
    with connected(store, app, namespace) as engine:
        try:
            found = engine.bulk.audit(limit=limit, after=after)
        except QueryError as error:
            raise unfit_after(after, "an entry's `key` in its JSON") from error
    if json:
        for entry in found:
            emit(entry)
        return
    console = out()
    console.print(audit_table(found, console.width))
    if len(found) == limit:
        note(f"More: --after {found[-1].key}")

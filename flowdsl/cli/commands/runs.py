"""flowdsl runs: list runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.live import Live

from flowdsl.cli import arguments
from flowdsl.cli.connection import connected
from flowdsl.cli.console import emit, note, out
from flowdsl.cli.filter_names import FilterNames
from flowdsl.cli.problem import UsageProblem, unfit_after
from flowdsl.cli.render import runs_table
from flowdsl.cli.run_view import RunView, StateName
from flowdsl.cli.span import parse_moment
from flowdsl.clock import SystemClock
from flowdsl.model.query import MAX_PAGE, Cursor, Order, QueryError

Fetch = Callable[[], tuple[list[RunView], Cursor | None]]


def runs(
    context: typer.Context,
    workflow: Annotated[str | None, typer.Option("--workflow", "-w", help="Of this workflow.")] = None,
    foreign_id: Annotated[list[str] | None, typer.Option("--foreign-id", "-f", help="Of these foreign ids.")] = None,
    status: Annotated[list[str] | None, typer.Option("--status", help="In these statuses.")] = None,
    state: Annotated[
        list[StateName] | None, typer.Option("--state", "-s", help=f"In these states: {', '.join(StateName)}.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Created after: 2h, 3d, or an ISO time (UTC unless it says).")
    ] = None,
    before: Annotated[str | None, typer.Option("--before", metavar="TIME", help="Created before.")] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--where", metavar="CONDITIONS", help='Instead of the filters above, e.g. "state=paused and error~timeout".'
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most this many.")] = 25,
    after: Annotated[
        str | None, typer.Option("--after", metavar="CURSOR", help="Go on where a list ended (a run's `cursor` in JSON).")
    ] = None,
    order: Annotated[Order, typer.Option("--order", help="By creation.")] = Order.NEWEST_FIRST,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", min=0.2, metavar="SECONDS", help="Between two looks of --watch.")
    ] = 2.0,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """List runs, newest first; or, with a command, do something to many of them.

    Filters are combined; several values of one mean any of them. A command below has a --where of its own, which says to which
    runs it does something."""
    if context.invoked_subcommand is not None:
        _refuse_options(context, context.invoked_subcommand)
        return
    if watch and json:
        raise UsageProblem("--watch is for people, --json for programs.", remedy="Give one of them.")
    if where is not None and (workflow or foreign_id or status or state or since or before):
        raise UsageProblem("--where says it all.", remedy="Put the other filters into it, e.g. and workflow=orders.")
    clock = SystemClock()
    try:
        cursor = None if after is None else Cursor.decode(after)
    except QueryError as error:
        raise unfit_after(after or "", "a run's `cursor` in its JSON") from error
    now = clock.now()
    created_after = None if since is None else parse_moment(since, now, "--since")
    created_before = None if before is None else parse_moment(before, now, "--before")
    with connected(store, app, namespace) as engine:
        if where is None:
            names = FilterNames(engine, [] if workflow is None else [workflow], status or [], as_stored=False)
        else:
            names = FilterNames.of_where(engine, where)
        statuses = names.stored()

        def fetch() -> tuple[list[RunView], Cursor | None]:
            found: list[RunView] = []
            following = cursor
            while True:
                most = min(limit - len(found), MAX_PAGE)
                if where is not None:
                    page = engine.bulk.select(where, order=order, limit=most, after=following)
                else:
                    page = engine.runs(
                        workflow,
                        foreign_ids=foreign_id or (),
                        statuses=statuses,
                        states=[name.state for name in state or ()],
                        created_after=created_after,
                        created_before=created_before,
                        order=order,
                        limit=most,
                        after=following,
                    )
                found += [RunView.of(record) for record in page.runs]
                following = page.next
                if following is None or len(found) >= limit:
                    return found, following

        console = out()
        if watch:
            _watch(console, fetch, clock.now, interval)
            return
        found, following = fetch()
        if json:
            for run in found:
                emit(run)
        else:
            console.print(runs_table(found, clock.now(), console.width))
        if not found:
            for line in names.notes():
                note(line)
        if json:
            return
        if following is not None:
            note(f"More: --after {following.encode()}")


def _refuse_options(context: typer.Context, command: str) -> None:
    """Options in front of a command would be the list's: nobody who writes them there means that."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            raise UsageProblem(
                f"{parameter.opts[0]} stands before {command!r}.",
                remedy="Options go behind the command; which runs are meant is said by --where.",
            )


def _watch(console: Console, fetch: Fetch, now: Callable[[], datetime], interval: float) -> None:
    if not console.is_terminal:
        raise UsageProblem("--watch needs a terminal.", remedy="Use --json in a loop.")

    def look() -> RenderableType:
        return runs_table(fetch()[0], now(), console.width)

    pause = threading.Event()
    try:
        with Live(look(), console=console, auto_refresh=False, screen=True) as live:
            while not pause.wait(interval):
                live.update(look(), refresh=True)
    except KeyboardInterrupt:
        return  # the way to end it

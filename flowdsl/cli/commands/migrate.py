"""flowdsl migrate: carry out declared migrations, or try them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from flowdsl.cli import arguments
from flowdsl.cli.cleaning import clean
from flowdsl.cli.connection import connected
from flowdsl.cli.console import emit, out, say
from flowdsl.cli.exit_code import ExitCode
from flowdsl.cli.render import plain_table
from flowdsl.engine.migration_pass import MigrationReport


def migrate(
    engine: Annotated[str, typer.Argument(metavar="MODULE:ENGINE", help="An engine, or a function returning one.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Try the functions on every object; store nothing.")] = False,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Take runs out of statuses that are no more, as @workflow.migrate says.

    Workers with that code do it by themselves as well. Exit code 1 when a migration fails on runs."""
    with connected(store, engine, namespace) as client:
        reports = client.migrations.apply(dry_run=dry_run, actor=actor)
    if json:
        for report in reports:
            emit(report)
    elif not reports:
        say("No migrations are declared.")
    else:
        table = plain_table(
            "workflow",
            "from",
            "to",
            "would move" if dry_run else "moved",
            "in hand",
            "newer",
            "callbacks",
            "failed",
            "timeouts",
            "error",
        )
        for report in reports:
            table.add_row(
                Text(clean(report.workflow)),
                Text(clean(report.from_status)),
                Text(clean(report.to_status)),
                Text(str(report.migrated)),
                Text(str(report.busy)),
                Text(str(report.newer)),
                Text(str(report.callbacks)),
                Text(str(report.failed), style="red" if report.failed else ""),
                Text(clean(_timeouts(report))),
                Text(clean(f"{report.error} (e.g. {report.example})") if report.error is not None else "", style="red"),
            )
        out().print(table)
    if any(report.failed for report in reports):
        raise typer.Exit(ExitCode.FINDINGS)


def _timeouts(report: MigrationReport) -> str:
    """What becomes of the timeouts of the runs that it moves."""
    told = (("run on", report.timeouts_kept), ("begin anew", report.timeouts_begun), ("go", report.timeouts_gone))
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in told if names)

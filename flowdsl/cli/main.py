"""The command `flowdsl`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from flowdsl.cli.commands.audit import audit
from flowdsl.cli.commands.bulk import add_bulk
from flowdsl.cli.commands.callback import callback
from flowdsl.cli.commands.check import check
from flowdsl.cli.commands.control import cancel, delete, pause, resume
from flowdsl.cli.commands.db import db
from flowdsl.cli.commands.dead_letters import dead_letters
from flowdsl.cli.commands.demo import demo
from flowdsl.cli.commands.explain import explain
from flowdsl.cli.commands.fleet import fleet
from flowdsl.cli.commands.graph import graph
from flowdsl.cli.commands.hooks import hooks
from flowdsl.cli.commands.migrate import migrate
from flowdsl.cli.commands.repair import move, restart, retry
from flowdsl.cli.commands.run import run
from flowdsl.cli.commands.runs import runs
from flowdsl.cli.commands.schedules import schedules
from flowdsl.cli.commands.show import show
from flowdsl.cli.commands.trigger import trigger
from flowdsl.cli.exit_code import ExitCode, epilog
from flowdsl.cli.guard import Guard
from flowdsl.cli.plugins import plugins

WORK, LOOK, CONTROL, CODE = "Work", "Look", "Control", "Code and tables"

app = typer.Typer(
    name="flowdsl",
    cls=Guard,
    help="Durable, event-driven workflows: run workers, start runs, look at them, control them.",
    epilog=epilog(),
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"flowdsl {version('flowdsl')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def top(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks. Goes before the command.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(ExitCode.USAGE)


app.command(rich_help_panel=WORK)(demo)
app.command(rich_help_panel=WORK)(run)
app.command(rich_help_panel=WORK)(trigger)
app.command(rich_help_panel=WORK)(callback)
many = typer.Typer()
many.callback(invoke_without_command=True)(runs)
add_bulk(many)
app.add_typer(many, name="runs", rich_help_panel=LOOK)
app.command(rich_help_panel=LOOK)(show)
app.command(rich_help_panel=LOOK)(explain)
app.command(rich_help_panel=LOOK)(fleet)
app.command(rich_help_panel=LOOK)(audit)
app.command(rich_help_panel=CONTROL)(pause)
app.command(rich_help_panel=CONTROL)(resume)
app.command(rich_help_panel=CONTROL)(cancel)
app.command(rich_help_panel=CONTROL)(delete)
app.command(rich_help_panel=CONTROL)(retry)
app.command(rich_help_panel=CONTROL)(move)
app.command(rich_help_panel=CONTROL)(restart)
app.add_typer(schedules, name="schedules", rich_help_panel=CONTROL)
app.add_typer(dead_letters, name="dead-letters", rich_help_panel=CONTROL)
app.add_typer(hooks, name="hooks", rich_help_panel=CONTROL)
app.command(rich_help_panel=CODE)(graph)
app.command(rich_help_panel=CODE)(check)
app.command(rich_help_panel=CODE)(migrate)
app.add_typer(db, name="db", rich_help_panel=CODE)
for name, group in plugins():
    app.add_typer(group, name=name, rich_help_panel=CODE)


def main() -> None:
    """The entry point. Ends the process with one of ExitCode."""
    app()

"""flowdsl db: the tables of a store."""

from __future__ import annotations

import sys

import typer

from flowdsl.cli import arguments
from flowdsl.cli.cleaning import masked
from flowdsl.cli.connection import required_store, see
from flowdsl.cli.console import emit, say
from flowdsl.cli.exit_code import ExitCode
from flowdsl.cli.schema_tool import schema_tool
from flowdsl.errors import SchemaError

db = typer.Typer(help="Make, upgrade and check the tables of a store.")


@db.command()
def upgrade(store: arguments.Store = None, json: arguments.Json = False) -> None:
    """Make the tables, or bring them to this version. Several at once: one works, the others wait."""
    url = required_store(store)
    tool = schema_tool(url)
    tool.upgrade(url)
    version = tool.current(url)
    if json:
        emit({"store": masked(url), "version": version})
    else:
        say(f"{masked(url)} is at version {version}")


@db.command()
def current(store: arguments.Store = None, json: arguments.Json = False) -> None:
    """Print the version of the tables."""
    url = required_store(store)
    tool = schema_tool(url)
    see(url)
    version = tool.current(url)
    if json:
        emit({"store": masked(url), "version": version})
    else:
        say(f"{masked(url)} has no tables" if version is None else version)


@db.command()
def check(store: arguments.Store = None, json: arguments.Json = False) -> None:
    """Check that the tables fit this version of flowdsl. Exit code 1 when they do not."""
    url = required_store(store)
    tool = schema_tool(url)
    see(url)
    problem: SchemaError | None = None
    try:
        tool.check(url)
    except SchemaError as error:
        problem = error
    text = f"{masked(url)} fits" if problem is None else masked(str(problem))
    if json:
        emit({"store": masked(url), "fits": problem is None, "message": text})
    else:
        say(text)
    if problem is not None:
        raise typer.Exit(ExitCode.FINDINGS)


@db.command()
def sql(store: arguments.Store = None) -> None:
    """Print the statements that upgrade would run on an empty database. Nothing is connected to."""
    url = required_store(store)
    sys.stdout.write(schema_tool(url).upgrade_sql(url))

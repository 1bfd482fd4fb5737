"""Commands that other packages bring, found through entry points."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points

import typer

from flowdsl.cli.console import note

COMMANDS = "flowdsl.commands"
"""The group of entry points. Each names a typer.Typer; its own name is the command's."""


def plugins() -> Iterator[tuple[str, typer.Typer]]:
    """Name and commands, by name. One that cannot be imported is left out, with a word on standard error."""
    for point in sorted(entry_points(group=COMMANDS), key=lambda point: point.name):
        try:
            found = point.load()
        except ImportError as error:
            note(f"The command {point.name} of {point.value} is left out: {error}.")
            continue
        if isinstance(found, typer.Typer):
            yield point.name, found

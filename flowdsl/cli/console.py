"""Where output goes: tables and JSON to standard output, errors and notes to standard error."""

from __future__ import annotations

import os
import sys

import msgspec
from rich.console import Console
from rich.text import Text

from flowdsl.cli.cleaning import clean, masked

NO_TERMINAL_WIDTH = 200
"""Columns of a table that goes to a file or pipe: wide enough that nothing is cut off."""


def out() -> Console:
    """Standard output. Colours on a terminal only; run data is never read as markup."""
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(markup=False, emoji=False, highlight=False, width=NO_TERMINAL_WIDTH)
    return console


def err() -> Console:
    """Standard error."""
    return Console(stderr=True, markup=False, emoji=False, highlight=False)


def say(text: str) -> None:
    """A line on standard output, never wrapped."""
    out().print(Text(clean(text)), soft_wrap=True)


def note(text: str) -> None:
    """A line on standard error that is not an error."""
    err().print(Text(clean(masked(text)), style="dim"), soft_wrap=True)


def fail(text: str) -> None:
    """An error line on standard error."""
    one_line = " ".join(masked(text).split())
    line = Text("flowdsl: ", style="bold red").append(Text(clean(one_line), style="not bold default"))
    err().print(line, soft_wrap=True)


def emit(value: object) -> None:
    """One JSON object on one line of standard output."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")

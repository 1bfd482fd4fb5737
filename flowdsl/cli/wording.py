"""What every command's --help has alike, whichever Typer prints it."""

from __future__ import annotations

import inspect
import re
from typing import Any


def reword(command: Any) -> None:
    """Name what options and arguments take, and join the lines of a paragraph; of a group's commands too. In: a command before
    it is called, of click's classes or, with a later Typer, of Typer's own."""
    command.help = _flowing(command.help)
    for parameter in command.params:
        if parameter.metavar is None:
            parameter.metavar = _metavar(parameter)
    for inner in getattr(command, "commands", {}).values():
        reword(inner)


def _flowing(text: str | None) -> str | None:
    if text is None:
        return None
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text).split("\n\n"))


def _metavar(parameter: Any) -> str | None:
    """NAME of --name, N for a number, nothing for a flag; None, which leaves it to Typer, for a choice of one."""
    if getattr(parameter, "is_flag", False):
        return ""
    shown = getattr(parameter, "display_type_rich", None)
    kind = str(parameter.type.name if shown is None else shown(None))
    if ("|" in kind or kind == "choice") and not getattr(parameter, "multiple", False):
        return None
    if re.search(r"\b(int|integer|float)\b", kind):
        return "N"
    name: str = max(parameter.opts, key=len)
    return name.lstrip("-").upper()

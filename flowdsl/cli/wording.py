"""What every command's --help has alike, whichever Typer prints it."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Sequence
from enum import Enum
from typing import Any

_MOST = 24
"""Characters of choices beside an option; more are named in its text, which is wrapped between words."""


def reword(command: Any) -> None:
    """Name what options and arguments take, and join the lines of a paragraph; of a group's commands too. In: a command before
    it is called, of click's classes or, with a later Typer, of Typer's own."""
    command.help = _flowing(command.help)
    for parameter in command.params:
        _reword_parameter(parameter)
    its_own = command.get_params

    def get_params(context: Any) -> Any:
        parameters = its_own(context)
        for parameter in parameters:
            _reword_parameter(parameter)  # those for --help and the shell's completion are made when somebody asks
        return parameters

    command.get_params = get_params
    for inner in getattr(command, "commands", {}).values():
        reword(inner)


def _flowing(text: str | None) -> str | None:
    if text is None:
        return None
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text).split("\n\n"))


def _reword_parameter(parameter: Any) -> None:
    if parameter.param_type_name == "argument":
        _reword_argument(parameter)
    elif parameter.metavar is None:
        choices = _choices(parameter)
        parameter.metavar = _metavar(parameter, choices)
        if choices and "|" not in parameter.metavar and not all(choice in (parameter.help or "") for choice in choices):
            parameter.help = f"{parameter.help or ''} One of {', '.join(choices)}.".lstrip()


def _reword_argument(parameter: Any) -> None:
    """Its metavar is its name, in the usage line and in the list, and says enough: no type stands beside it."""
    name: str = (parameter.metavar or parameter.name.upper()).removesuffix("...")
    several = "" if parameter.nargs == 1 else "..."
    parameter.metavar = f"{name}{several}"
    usage = parameter.metavar if parameter.required else f"[{parameter.metavar}]"
    parameter.get_usage_pieces = lambda context: [usage]
    if hasattr(parameter, "display_type_rich"):
        parameter.display_type_rich = lambda ctx: ""
    elif parameter.metavar == parameter.name.upper():  # only then an older Typer prints the type's name
        parameter.type = copy.copy(parameter.type)
        parameter.type.name = ""


def _metavar(parameter: Any, choices: Sequence[str]) -> str:
    """NAME of --name, N for a number, nothing for a flag, short choices as they are."""
    if getattr(parameter, "is_flag", False):
        return ""
    if re.search(r"\b(int|integer|float)\b", _kind(parameter)):
        return "N"
    shown = "|".join(choices)
    if choices and len(shown) <= _MOST and not parameter.multiple:
        return shown
    name: str = max(parameter.opts, key=len)
    return name.lstrip("-").upper()


def _kind(parameter: Any) -> str:
    shown = getattr(parameter, "display_type_rich", None)
    return str(parameter.type.name if shown is None else shown(None))


def _choices(parameter: Any) -> Sequence[str]:
    """The words that it may be; none: it is not one of some."""
    kind = getattr(parameter, "type_descriptor", None) or parameter.type
    return [str(choice.value if isinstance(choice, Enum) else choice) for choice in getattr(kind, "choices", None) or ()]

"""The top of the command tree: every error becomes one line and an exit code here."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from flowdsl.cli.console import fail
from flowdsl.cli.exit_code import ExitCode, exit_code_of
from flowdsl.cli.wording import reword
from flowdsl.errors import FlowError, WorkflowDefinitionError, WorkflowInProgressError


class Guard(TyperGroup):
    """A group whose `main` always ends the process with an exit code of ours."""

    debug = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        reword(self)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        try:
            answer = super().main(*args, **kwargs)
        except SystemExit as error:
            if not isinstance(error.__context__, BrokenPipeError):
                raise
            answer = ExitCode.PIPE_CLOSED  # Rich, and the parser, end the process with a code of their own
        except Exception as error:
            answer = self._end(error)
        sys.exit(answer if isinstance(answer, int) else ExitCode.OK)

    def list_commands(self, ctx: Any) -> list[str]:
        names: list[str] = super().list_commands(ctx)
        if "runs" in names and "show" in names:  # Typer puts groups last; this one is where most people begin to look
            names.remove("runs")
            names.insert(names.index("show"), "runs")
        return names

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _flushed():  # --help prints here
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        self.debug = bool(ctx.params.get("debug"))
        with _flushed():
            return super().invoke(ctx)

    def _end(self, error: Exception) -> int:
        if self.debug:
            traceback.print_exception(error)
        if isinstance(error, typer.Abort):
            return ExitCode.INTERRUPTED
        if isinstance(error, FlowError):
            fail(explained(error))
            return exit_code_of(error)
        parsers_code = getattr(error, "exit_code", None)  # the parser's own errors, wherever Typer keeps the classes
        if isinstance(parsers_code, int):
            fail(self._parser_error(error))
            return parsers_code
        fail(f"{_sentence(f'unexpected {type(error).__name__}: {error}')} flowdsl --debug ... shows where.")
        return ExitCode.INTERNAL

    def _parser_error(self, error: Any) -> str:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "flowdsl"
        text = error.format_message().replace("Value error, ", "").rstrip(".")
        return f"{_sentence(text[:1].lower() + text[1:])} See {path} --help."


def _sentence(text: str) -> str:
    text = text.rstrip(" :")
    return text if text.endswith((".", "?", "!")) else f"{text}."


@contextmanager
def _flushed() -> Generator[None]:
    """What was printed is on its way at the end, also after an error. Raises Exit when its reader went away."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered has no reader: the interpreter must not fail on it when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(ExitCode.PIPE_CLOSED) from None


def explained(error: FlowError) -> str:
    """The message on one line, with what only the error's attributes say."""
    if isinstance(error, WorkflowDefinitionError):
        return f"{str(error).partition(':')[0]}: " + "; ".join(str(finding) for finding in error.findings)
    if isinstance(error, WorkflowInProgressError) and error.run_id:
        what = str(error).removesuffix(error.remedy or "").rstrip(" .")
        return f"{what} (run {error.run_id}). {error.remedy or ''}".rstrip()
    return str(error)

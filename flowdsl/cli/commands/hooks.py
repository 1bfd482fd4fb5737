"""flowdsl hooks replay: tell a new hook of the past."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Annotated

import typer

from flowdsl.cli import arguments
from flowdsl.cli.connection import connected
from flowdsl.cli.console import emit, err, note, say
from flowdsl.cli.exit_code import ExitCode
from flowdsl.cli.problem import UsageProblem
from flowdsl.cli.span import parse_moment
from flowdsl.cli.target import workflow_named
from flowdsl.clock import SystemClock
from flowdsl.engine.hook_replay import HookReplay
from flowdsl.errors import DefinitionError

hooks = typer.Typer(name="hooks", help="Hooks: tell a new one of what happened before it was there.")


@hooks.callback()
def group() -> None:
    """A group, although it has one command: more may come."""


@hooks.command()
def replay(
    engine: Annotated[str, typer.Argument(metavar="MODULE:ENGINE", help="An engine, or a function returning one.")],
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW", help="The name of a workflow of that engine.")],
    hook: Annotated[str, typer.Argument(metavar="HOOK", help="The name of a hook: name=, or the function's.")],
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="What happened after: 2h, 3d, or an ISO time (UTC unless it says)."),
    ] = None,
    store: arguments.Store = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Tell a hook, here and now, of what the histories of the workflow's runs hold, under the idempotency keys that it was, or
    would have been, told under. What it fails to take becomes a dead letter; exit code 1 then."""
    moment = None if since is None else parse_moment(since, SystemClock().now(), "--since")
    with connected(store, engine, namespace) as client:
        flow, so_far = workflow_named(client, workflow), HookReplay(0, 0)
        with _counted(hook, hidden=json) as show:

            def seen(report: HookReplay) -> None:
                nonlocal so_far
                so_far = report
                show(report)

            try:
                done = client.replay_hook(flow, hook, since=moment, seen=seen)
            except DefinitionError as error:  # the code is sound: it was loaded; the name is wrong
                raise UsageProblem(str(error)) from error
            except KeyboardInterrupt:
                note(f"Stopped: {_text(so_far)}. Asked again it begins anew, under the same keys.")
                raise typer.Exit(ExitCode.INTERRUPTED) from None
    if json:
        emit({"workflow": workflow, "hook": hook, **done._asdict()})
    else:
        say(f"{workflow}/{hook}: {_text(done)}")
    if done.failed:
        note("flowdsl dead-letters list --origin hook shows what failed.")
        raise typer.Exit(ExitCode.FINDINGS)


def _text(report: HookReplay) -> str:
    return f"{report.told} told, {report.failed} failed"


@contextmanager
def _counted(hook: str, *, hidden: bool) -> Generator[Callable[[HookReplay], None]]:
    """A count on standard error while it goes on, where that is a terminal. How much there is to tell is not known before."""
    console = err()
    if hidden or not console.is_terminal:
        yield lambda report: None
        return
    with console.status(hook) as status:
        yield lambda report: status.update(f"{hook}: {_text(report)}")

"""flowdsl callback: move a run from outside."""

from __future__ import annotations

from typing import Annotated

import typer

from flowdsl.cli import arguments
from flowdsl.cli.commands.trigger import read_object
from flowdsl.cli.connection import connected
from flowdsl.cli.console import emit, fail, say
from flowdsl.cli.exit_code import ExitCode
from flowdsl.cli.problem import asked_of_sound_code
from flowdsl.cli.target import status_member, workflow_named
from flowdsl.engine.callbacks import CallbackOptions
from flowdsl.errors import FlowError
from flowdsl.model.callback_result import CallbackOutcome

CODES = {
    CallbackOutcome.UNKNOWN_RUN: ExitCode.NOT_FOUND,
    CallbackOutcome.NOT_IN_STATUS: ExitCode.NOT_ALLOWED,
    CallbackOutcome.STOPPED: ExitCode.NOT_ALLOWED,
    CallbackOutcome.REFUSED_PAYLOAD: ExitCode.USAGE,
}
"""What the shell is told of callbacks that have to be sent again, or to somebody else."""


def callback(
    engine: Annotated[str, typer.Argument(metavar="MODULE:ENGINE", help="An engine, or a function returning one.")],
    workflow: Annotated[str, typer.Argument(help="The workflow's name.")],
    foreign_id: Annotated[str, typer.Argument(help="The id of your own object: its latest run is meant.")],
    status: Annotated[str, typer.Argument(help="The status that the callback leads out of.")],
    payload: Annotated[
        str,
        typer.Option(
            "--payload", "-p", metavar="JSON|@FILE|-", help="What the function is given: text, a file, or standard input."
        ),
    ] = "",
    name: Annotated[str | None, typer.Option("--name", help="Which callback, where the status has several.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Idempotency key: a second callback with it does nothing.")] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN_ID", help="This run, and no later one of the foreign id.")
    ] = None,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    json: arguments.Json = False,
) -> None:
    """Call back: move a run out of a status, or have it kept until the run is there. The function runs here and now."""
    data = read_object(payload, "--payload")
    options: CallbackOptions = {"name": name, "idempotency_key": key, "actor": actor}
    with connected(store, engine) as client:
        flow = workflow_named(client, workflow)
        member = status_member(flow, status)
        try:
            with asked_of_sound_code():
                if run is None:
                    result = client.callback(flow, foreign_id, member, data, **options)
                else:
                    result = client.handle(run).callback(member, data, **options)
        except FlowError:
            raise
        except Exception as error:  # the function's own
            fail(f"the callback failed, nothing was stored: {type(error).__name__}: {error}")
            raise typer.Exit(ExitCode.FINDINGS) from error
    code = CODES.get(result.outcome, ExitCode.OK)
    who = f"{workflow}/{foreign_id}"
    why = f": {result.detail}" if result.detail else ""
    if json:
        emit(
            {
                "workflow": workflow,
                "foreign_id": foreign_id,
                "run_id": result.run_id,
                "outcome": result.outcome,
                "accepted": result.accepted,
                "detail": result.detail,
            }
        )
    elif code is ExitCode.OK:
        say(f"{who} {result.outcome}{why} ({result.run_id})")
    else:
        fail(f"{who} {result.outcome}{why}.")
    if code is not ExitCode.OK:
        raise typer.Exit(code)

"""flowdsl trigger: start a run."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from flowdsl.cli import arguments
from flowdsl.cli.connection import connected
from flowdsl.cli.console import emit, say
from flowdsl.cli.problem import UsageProblem, asked_of_sound_code
from flowdsl.cli.target import AnyWorkflow, status_member, workflow_named
from flowdsl.engine.trigger_options import TriggerOptions
from flowdsl.errors import PayloadError, PayloadTooLargeError
from flowdsl.model.record import Payload


def trigger(
    engine: Annotated[str, typer.Argument(metavar="MODULE:ENGINE", help="An engine, or a function returning one.")],
    workflow: Annotated[str, typer.Argument(help="The workflow's name.")],
    foreign_id: Annotated[str, typer.Argument(help="The id of your own object.")],
    object_: Annotated[
        str | None,
        typer.Option("--object", "-o", metavar="JSON|@FILE|-", help="The run's object: JSON, a file, or standard input."),
    ] = None,
    status: Annotated[str | None, typer.Option("--status", help="Where it starts. Default: the first starting status.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Idempotency key: used twice, the first run is answered.")] = None,
    priority: Annotated[int, typer.Option("--priority", help="Higher is worked on first.")] = 0,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A tag of the run; may be repeated.")] = None,
    meta: Annotated[
        list[str] | None, typer.Option("--meta", metavar="NAME=VALUE", help="Metadata of the run; may be repeated.")
    ] = None,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    json: arguments.Json = False,
) -> None:
    """Start a run; it is stored when this returns. Workers run it."""
    data = None if object_ is None else read_object(object_)
    pairs = [text.partition("=") for text in meta or ()]
    if any(not name or not equals for name, equals, _ in pairs):
        raise UsageProblem("--meta needs NAME=VALUE.", remedy="Write e.g. --meta channel=web.")
    with connected(store, engine) as client:
        flow = workflow_named(client, workflow)
        if data is None and not flow.codec.allows_none:
            raise UsageProblem(f"a run of {workflow} needs an object.", remedy="Give --object.")
        obj = None if data is None else decoded_object(flow, data)
        options: TriggerOptions[Enum] = {
            "start_status": None if status is None else status_member(flow, status),
            "idempotency_key": key,
            "metadata": {name: value for name, _, value in pairs},
            "tags": tag or (),
            "priority": priority,
            "actor": actor,
        }
        with asked_of_sound_code():
            handle = client.trigger(flow, foreign_id, obj, **options)
    if json:
        emit({"run_id": handle.run_id, "workflow": workflow, "foreign_id": foreign_id, "created": handle.created})
    elif handle.created:
        say(f"started {workflow}/{foreign_id} ({handle.run_id})")
    else:
        say(f"{workflow}/{foreign_id} was started before with this key ({handle.run_id})")


def decoded_object(workflow: AnyWorkflow, data: bytes) -> object:
    """The object that JSON stands for."""
    try:
        return workflow.codec.decode(Payload(data, schema_version=workflow.codec.upcasters.version)).object
    except PayloadTooLargeError:
        raise
    except PayloadError as error:
        why = error.__cause__ or error
        name = getattr(workflow.object_type, "__name__", workflow.object_type)
        raise UsageProblem(f"--object does not fit {name}: {why}.", remedy="Give it as JSON with the object's fields.") from error


def read_object(source: str, option: str = "--object") -> bytes:
    """JSON from the command line, from a file or from standard input. In: the option that it was given to."""
    if source == "-":
        return sys.stdin.buffer.read()
    if not source.startswith("@"):
        return source.encode()
    try:
        return Path(source[1:]).read_bytes()
    except OSError as error:
        raise UsageProblem(f"cannot read {source[1:]}: {error.strerror}.", remedy=f"{option} takes JSON, @FILE or -.") from error

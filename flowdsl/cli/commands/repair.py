"""flowdsl retry, move, restart."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flowdsl.cli import arguments
from flowdsl.cli.commands.control import Reason, each_run
from flowdsl.cli.commands.trigger import decoded_object, read_object
from flowdsl.cli.connection import connected, find_run, naming
from flowdsl.cli.console import emit, say
from flowdsl.cli.problem import UsageProblem, asked_of_sound_code
from flowdsl.cli.target import AnyWorkflow, status_member
from flowdsl.engine.handle import RunHandle


def retry(
    runs: arguments.Runs,
    reason: Annotated[str | None, typer.Option("--reason", "-r", help="Why; it is kept in the history.")] = None,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Run a failed step again now: of runs that errors paused, and of those that wait for the next attempt."""
    each_run(runs, lambda handle: handle.retry(reason, actor), store, app, namespace, json)


def move(
    runs: arguments.Runs,
    to: Annotated[str, typer.Option("--to", metavar="STATUS", help="Where to.")],
    reason: Reason,
    force: Annotated[bool, typer.Option("--force", help="Do not wait for a running step: its result is discarded.")] = False,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Put unfinished runs into another status, by hand. Needs the code of their workflow (--app)."""

    def act(handle: RunHandle[Any, Any]) -> Any:
        return handle.move(status_member(_code_of(handle), to), reason, actor, force=force)

    each_run(runs, act, store, app, namespace, json)


def restart(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run id, or WORKFLOW/FOREIGN_ID for the latest run of that.")],
    status: Annotated[str | None, typer.Option("--from", metavar="STATUS", help="Where it begins. Default: as before.")] = None,
    object_: Annotated[
        str | None, typer.Option("--object", "-o", metavar="JSON|@FILE|-", help="Its object. Default: the one it ended with.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="Idempotency key: used twice, the first run is answered.")] = None,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Start a finished run once more, as a new run. Needs the code of its workflow (--app)."""
    data = None if object_ is None else read_object(object_)
    with connected(store, app, namespace) as engine:
        handle = find_run(engine, run)
        workflow = _code_of(handle)
        begin = None if status is None else status_member(workflow, status)
        obj = None if data is None else decoded_object(workflow, data)
        with asked_of_sound_code(), naming(run):
            again = handle.restart(begin, obj, idempotency_key=key, actor=actor)
    name = f"{workflow.name}/{handle.foreign_id}"
    if json:
        emit({"run_id": again.run_id, "parent_run_id": handle.run_id, "foreign_id": handle.foreign_id, "created": again.created})
    elif again.created:
        say(f"started {name} again ({again.run_id}), after run {handle.run_id}")
    else:
        say(f"{name} was started again before with this key ({again.run_id})")


def _code_of(handle: RunHandle[Any, Any]) -> AnyWorkflow:
    workflow = handle.workflow
    if workflow is None:
        raise UsageProblem("this needs the code of the run's workflow.", remedy="Give --app MODULE:ENGINE.")
    return workflow

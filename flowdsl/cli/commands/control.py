"""flowdsl pause, resume, cancel, delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from flowdsl.cli import arguments
from flowdsl.cli.connection import connected, find_run, naming
from flowdsl.cli.console import emit, fail, say
from flowdsl.cli.exit_code import exit_code_of
from flowdsl.cli.guard import explained
from flowdsl.cli.run_view import RunView, StateName
from flowdsl.engine.handle import RunHandle
from flowdsl.errors import RunError
from flowdsl.model.record import RunRecord

Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; it is kept with the run.")]
Act = Callable[[RunHandle[Any, Any]], RunRecord]


def pause(
    runs: arguments.Runs,
    reason: Reason,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Pause runs. A step that is running finishes first; its commit applies the pause."""
    each_run(runs, lambda handle: handle.pause(reason, actor), store, app, namespace, json)


def resume(
    runs: arguments.Runs,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Let paused runs go on."""
    each_run(runs, lambda handle: handle.resume(actor), store, app, namespace, json)


def cancel(
    runs: arguments.Runs,
    reason: Reason,
    force: Annotated[bool, typer.Option("--force", help="Do not wait for a running step: its result is discarded.")] = False,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """End runs. A step that is running finishes first, so that what it did is not forgotten."""
    each_run(runs, lambda handle: handle.cancel(reason, actor, force=force), store, app, namespace, json)


def delete(
    runs: arguments.Runs,
    reason: Reason,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Have the data of finished runs erased: objects, reasons, errors, kept callbacks, dead letters.

    A worker does it soon; then flowdsl show has the receipt. It cannot be undone."""
    each_run(runs, lambda handle: handle.delete_data(reason, actor), store, app, namespace, json)


def each_run(texts: list[str], act: Act, store: str | None, app: str | None, namespace: str | None, json: bool) -> None:
    """One line per run. A run that refuses does not keep the others from being asked; the first refusal decides the exit code."""
    code: int | None = None
    with connected(store, app, namespace) as engine:
        for text in texts:
            try:
                with naming(text):
                    view = RunView.of(act(find_run(engine, text)))
            except RunError as error:
                fail(explained(error))
                code = exit_code_of(error) if code is None else code
                continue
            name = f"{view.workflow}/{view.foreign_id}"
            if json:
                emit(view)
            elif view.requested is not None:
                say(f"{name} will be {view.requested.state} when its running step is done ({view.run_id})")
            elif view.state == StateName.REQUESTED_DATA_DELETED:
                say(f"{name}: a worker erases its data ({view.run_id})")
            else:
                say(f"{name} is {view.state} in {view.status} ({view.run_id})")
    if code is not None:
        raise typer.Exit(code)

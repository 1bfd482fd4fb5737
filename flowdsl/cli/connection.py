"""Which engine a command asks: from --store, --app and the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flowdsl.cli.console import note
from flowdsl.cli.problem import UsageProblem
from flowdsl.cli.target import guess, load_engine
from flowdsl.engine.engine import Engine
from flowdsl.engine.handle import RunHandle
from flowdsl.errors import RunError, RunNotFoundError, StoreUnavailableError
from flowdsl.model.query import Order

_WAYS = "Write a run id, or WORKFLOW/FOREIGN_ID; flowdsl runs lists them."
STORE_VARIABLE, APP_VARIABLE, NAMESPACE_VARIABLE = "FLOWDSL_STORE", "FLOWDSL_APP", "FLOWDSL_NAMESPACE"


@contextmanager
def connected(store: str | None, app: str | None, namespace: str | None = None) -> Generator[Engine]:
    """An engine that is asked and never started; closed at the end.

    `app` alone: that engine, on its own store. `store` alone: runs without their code. Both: the app's workflows on that store.
    What is left out comes from the environment, but an app on the command line is not sent to FLOWDSL_STORE.
    """
    app_here = app or os.environ.get(APP_VARIABLE) or None
    store_here = store or (None if app else os.environ.get(STORE_VARIABLE)) or None
    namespace_here = namespace or os.environ.get(NAMESPACE_VARIABLE) or None
    if store_here is None and app_here is None:
        raise UsageProblem(
            "there is no store to ask.",
            remedy=f"Give --store URL or --app MODULE:ENGINE, or set {STORE_VARIABLE} or {APP_VARIABLE}.",
        )
    engine = load_engine(app_here) if app_here is not None else None
    if engine is not None and store_here is None and namespace_here in (None, engine.namespace):
        client = engine
    elif store_here is None:
        raise UsageProblem("--namespace is the app's own.", remedy="Leave it out, or give --store as well.")
    else:
        see(store_here)
        space = namespace_here or (engine.namespace if engine is not None else "default")
        client = Engine.client(*(engine.workflows if engine is not None else ()), store=store_here, namespace=space)
    try:
        yield client
        if client.unpublished is not None:
            note(
                f"Stored, but the event that tells workers could not be published ({client.unpublished}): "
                "a worker finds the run at its next look at the store."
            )
    finally:
        client.stop()


def required_store(store: str | None) -> str:
    """--store, or FLOWDSL_STORE."""
    found = store or os.environ.get(STORE_VARIABLE)
    if not found:
        raise UsageProblem("there is no store to work on.", remedy=f"Give --store URL, or set {STORE_VARIABLE}.")
    return found


def see(url: str) -> None:
    """Refuse stores in which nothing can be found: to look must not make a database."""
    if url.startswith("memory:"):
        raise UsageProblem("a store in memory is seen by its own process only.", remedy="Name a database.")
    if not url.startswith("sqlite"):
        return
    _, slashes, path = url.partition(":///")
    path = path.partition("?")[0]
    if not slashes and url.partition(":")[2].strip("/"):
        name = url.partition(":")[2].strip("/")
        raise UsageProblem(f"{url} names no file.", remedy=f"Write sqlite:///{name}, with three slashes.")
    if not slashes or path in ("", ":memory:"):
        raise UsageProblem("an SQLite database in memory is seen by its own process only.", remedy="Name a file.")
    if not path.startswith("file:") and not Path(path).exists():
        raise StoreUnavailableError(
            f"there is no database file {path}.",
            remedy="Check the path; a worker or a trigger makes the file, or flowdsl db upgrade.",
        )


def find_run(engine: Engine, text: str) -> RunHandle[Any, Any]:
    """The run that a person means. In: a run id, or WORKFLOW/FOREIGN_ID for the latest run of that."""
    workflow, slash, foreign_id = text.partition("/")
    if not slash:
        try:
            return engine.handle(text)
        except RunNotFoundError as error:
            raise RunNotFoundError(f"there is no run {text!r}.", run_id=text, remedy=_WAYS) from error
    if not workflow or not foreign_id:
        raise RunNotFoundError(f"there is no run {text!r}.", remedy=_WAYS)
    page = engine.runs(workflow, foreign_ids=[foreign_id], order=Order.NEWEST_FIRST, limit=1)
    if page.runs:
        return engine.handle(page.runs[0].run_id)
    what, remedy = f"{workflow} has no run for {foreign_id!r}.", _WAYS
    if not engine.runs(workflow, limit=1).runs:
        known = [flow.name for flow in engine.workflows] + [run.workflow for run in engine.runs(limit=100).runs]
        what, remedy = f"no stored run is of a workflow {workflow!r}.", f"{guess(workflow, known)}{_WAYS}"
    raise RunNotFoundError(what, workflow=workflow, foreign_id=foreign_id, remedy=remedy)


@contextmanager
def naming(text: str) -> Generator[None]:
    """Refusals of a run name it as it was typed, its id beside it."""
    try:
        yield
    except RunError as error:
        run_id = error.run_id
        if run_id is not None and run_id != text:
            message = str(error)
            named = re.sub(rf"\b(the )?run {re.escape(run_id)}(?!\w)", lambda _: f"{text} (run {run_id})", message, count=1)
            error.args = (named if named != message else f"{text}: {message}",)
        raise

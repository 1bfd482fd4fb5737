"""flowdsl dead-letters list, show, replay, drop."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

import typer

from flowdsl.cli import arguments
from flowdsl.cli.connection import connected
from flowdsl.cli.console import emit, fail, note, out, say
from flowdsl.cli.dead_letter_table import letter_text, letters_table
from flowdsl.cli.dead_letter_view import DeadLetterView, WholeLetterView
from flowdsl.cli.exit_code import exit_code_of
from flowdsl.cli.filter_names import FilterNames
from flowdsl.cli.guard import explained
from flowdsl.cli.problem import UsageProblem, unfit_after
from flowdsl.cli.target import guess
from flowdsl.clock import SystemClock
from flowdsl.engine.engine import Engine
from flowdsl.errors import ConfigurationError, DeadLetterNotFoundError, ReplayFailedError
from flowdsl.model.dead_letter import LetterOrigin

dead_letters = typer.Typer(name="dead-letters", help="What was given up: look at it, try it again, drop it.")
PAGE = 500
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""A letter's id. The letter itself may be gone when a list goes on after it."""

Letters = Annotated[list[str] | None, typer.Argument(metavar="LETTER...", help="Letter ids; `list` shows them.")]
Everything = Annotated[bool, typer.Option("--all", help="Every letter that matches --origin, --workflow and --name.")]
Origin = Annotated[str | None, typer.Option("--origin", help="From a connector, hook or callback.")]
OfWorkflow = Annotated[str | None, typer.Option("--workflow", "-w", help="Of this workflow.")]
Name = Annotated[str | None, typer.Option("--name", help="Of the connector, hook or callback of this name.")]


@dead_letters.command(name="list")
def list_letters(
    origin: Origin = None,
    workflow: OfWorkflow = None,
    name: Name = None,
    foreign_id: Annotated[str | None, typer.Option("--foreign-id", "-f", help="Of this foreign id.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most this many.")] = 25,
    after: Annotated[str, typer.Option("--after", metavar="LETTER", help="Go on after this letter.")] = "",
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """List dead letters, oldest first."""
    with connected(store, app, namespace) as engine:
        if after and not _ID.fullmatch(after):
            try:
                engine.dead_letters.get(after)  # an app may make ids of its own kind
            except DeadLetterNotFoundError as error:
                raise unfit_after(after, "a letter's id") from error
        page = engine.dead_letters.list(
            origin=origin, workflow=workflow, name=name, foreign_id=foreign_id, limit=limit, after=after
        )
        if not page.letters:
            _explain_nothing(engine, origin, workflow)
    views = [DeadLetterView.of(letter) for letter in page.letters]
    if json:
        for view in views:
            emit(view)
        return
    out().print(letters_table(views, SystemClock().now()))
    if page.next is not None:
        note(f"More: --after {page.next}")


@dead_letters.command()
def show(
    letter: Annotated[str, typer.Argument(metavar="LETTER", help="A letter id.")],
    with_body: Annotated[bool, typer.Option("--body/--no-body", help="Show what the letter holds.")] = True,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Show a letter: where it comes from, why it was given up, what it holds, who replayed it."""
    with connected(store, app, namespace) as engine:
        found = engine.dead_letters.get(letter)
        view = WholeLetterView.of(found, engine.dead_letters.audit(letter), with_body=with_body)
    if json:
        emit(view)
    else:
        out().print(letter_text(view, SystemClock().now()))


@dead_letters.command()
def replay(
    letters: Letters = None,
    everything: Everything = False,
    origin: Origin = None,
    workflow: OfWorkflow = None,
    name: Name = None,
    actor: arguments.Actor = None,
    app: arguments.App = None,
    store: arguments.Store = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Try letters again with the code of --app, in this process. What an earlier try did is not done twice."""
    with connected(store, app, namespace) as engine:
        if not engine.workflows:
            raise UsageProblem("a replay runs your code, which is not here.", remedy="Give --app MODULE:ENGINE.")
        chosen = _chosen(engine, letters, everything, origin, workflow, name)
        _each(chosen, "replayed", lambda letter: engine.dead_letters.replay(letter, actor), json)


@dead_letters.command()
def drop(
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; the audit keeps it.")],
    letters: Letters = None,
    everything: Everything = False,
    origin: Origin = None,
    workflow: OfWorkflow = None,
    name: Name = None,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Forget letters. What they held is gone; the audit keeps who dropped them and why."""
    with connected(store, app, namespace) as engine:
        chosen = _chosen(engine, letters, everything, origin, workflow, name)
        _each(chosen, "dropped", lambda letter: engine.dead_letters.drop(letter, reason, actor), json)


def _chosen(
    engine: Engine, letters: list[str] | None, everything: bool, origin: str | None, workflow: str | None, name: str | None
) -> list[str]:
    """The letters that a person means: named, or all that match."""
    filters = (origin, workflow, name)
    if bool(letters) is everything or (letters and any(filters)):
        raise UsageProblem("which letters?", remedy="Name them, or give --all, alone or with --origin, --workflow and --name.")
    if letters:
        return letters
    found: list[str] = []
    after = ""
    while True:
        page = engine.dead_letters.list(origin=origin, workflow=workflow, name=name, limit=PAGE, after=after)
        found += [letter.letter_id for letter in page.letters]
        if page.next is None:
            break
        after = page.next
    if not found:
        note("No dead letters match.")
        _explain_nothing(engine, origin, workflow)
    return found


def _explain_nothing(engine: Engine, origin: str | None, workflow: str | None) -> None:
    """Names that may be the reason why no letter was found."""
    if origin is not None and origin not in set(LetterOrigin):
        note(f"No letter is from a {origin!r}. {guess(origin, LetterOrigin)}They come from a {', a '.join(LetterOrigin)}.")
    if workflow is not None:
        for line in FilterNames(engine, [workflow], [], as_stored=True).notes():
            note(line)


def _each(letters: list[str], done: str, act: Callable[[str], None], json: bool) -> None:
    """One line per letter. One that fails does not keep the others from being tried; the first failure decides the exit code."""
    code: int | None = None
    for letter in letters:
        try:
            act(letter)
        except (ReplayFailedError, DeadLetterNotFoundError, ConfigurationError) as error:
            fail(explained(error))
            code = exit_code_of(error) if code is None else code
            continue
        if json:
            emit({"letter_id": letter, "done": done})
        else:
            say(f"{done} {letter}")
    if code is not None:
        raise typer.Exit(code)

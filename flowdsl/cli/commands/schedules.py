"""flowdsl schedules list, show, preview, create, pause, resume, trigger, delete."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import typer

from flowdsl.cli import arguments
from flowdsl.cli.commands.trigger import decoded_object, read_object
from flowdsl.cli.connection import connected
from flowdsl.cli.console import emit, fail, note, out, say
from flowdsl.cli.exit_code import exit_code_of
from flowdsl.cli.filter_names import FilterNames
from flowdsl.cli.guard import explained
from flowdsl.cli.problem import UsageProblem, asked_of_sound_code
from flowdsl.cli.schedule_table import firings_table, schedule_text, schedules_table
from flowdsl.cli.schedule_view import ScheduleView, WholeScheduleView
from flowdsl.cli.span import moment_text
from flowdsl.cli.target import status_member, workflow_named
from flowdsl.clock import SystemClock
from flowdsl.dsl.schedule import ScheduleOptions
from flowdsl.engine.engine import Engine
from flowdsl.errors import FlowError, ScheduleError
from flowdsl.model.schedule import IfRunning, Misfire, Schedule
from flowdsl.model.span import parse_span
from flowdsl.timetable import Gap, OverlapHour, Timetable

schedules = typer.Typer(name="schedules", help="What starts runs by the calendar: look at it, make it, pause it.")

One = Annotated[str, typer.Argument(metavar="SCHEDULE", help="WORKFLOW/NAME; `list` shows them.")]
Several = Annotated[list[str], typer.Argument(metavar="SCHEDULE...", help="WORKFLOW/NAME; `list` shows them.")]
TimeZone = Annotated[str, typer.Option("--timezone", "-z", help="The time zone that SPEC is read in.")]
InGap = Annotated[Gap, typer.Option("--gap", help="Times that clocks going forward leave out.")]
Twice = Annotated[OverlapHour, typer.Option("--overlap-hour", help="Times that clocks going back show twice.")]
Count = Annotated[int, typer.Option("--count", "-n", min=1, max=1000, help="How many firings.")]
Code = Annotated[
    str | None,
    typer.Option("--app", metavar="MODULE:ENGINE", help="The code of the workflow. Environment: FLOWDSL_APP."),
]


@schedules.command(name="list")
def list_schedules(
    workflow: Annotated[str | None, typer.Option("--workflow", "-w", help="Of this workflow.")] = None,
    removed: Annotated[bool, typer.Option("--removed", help="Those that were removed, too.")] = False,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """List schedules: of the code, once a worker with that code has started, and those made at run time."""
    with connected(store, app, namespace) as engine:
        views = [ScheduleView.of(schedule) for schedule in engine.schedules.list(workflow, removed=removed)]
        if not views and workflow is not None:
            for line in FilterNames(engine, [workflow], [], as_stored=True).notes():
                note(line)
    if json:
        for view in views:
            emit(view)
    else:
        out().print(schedules_table(views, SystemClock().now()))


@schedules.command()
def show(
    schedule: One,
    count: Count = 5,
    entries: Annotated[int, typer.Option("--entries", min=0, help="How many journal entries, the newest.")] = 20,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Show a schedule: its rule, its next firings, what became of its slots and who changed it."""
    with connected(store, app, namespace) as engine:
        workflow, name = _names(schedule)
        found = engine.schedules.get(workflow, name)
        journal = engine.schedules.journal(workflow, name)
        view = WholeScheduleView(
            schedule=ScheduleView.of(found),
            firings=engine.schedules.preview(workflow, name, count),
            journal=journal[len(journal) - min(entries, len(journal)) :],
        )
    if json:
        emit(view)
    else:
        out().print(schedule_text(view, SystemClock().now()))


@schedules.command()
def preview(
    schedule: Annotated[str | None, typer.Argument(metavar="SCHEDULE", help="WORKFLOW/NAME of a stored one.")] = None,
    spec: Annotated[str | None, typer.Option("--spec", help="Or a cron expression; needs no store.")] = None,
    timezone: TimeZone = "UTC",
    gap: InGap = Gap.NEXT,
    overlap_hour: Twice = OverlapHour.AUTO,
    count: Count = 5,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Show when a schedule fires next, or when a cron expression would."""
    now = SystemClock().now()
    if (schedule is None) is (spec is None):
        raise UsageProblem("which schedule?", remedy="Name one, or give --spec '0 9 * * 1-5'.")
    if spec is not None:
        timetable = Timetable(spec, timezone, gap=gap, overlap_hour=overlap_hour)
        firings = [timetable.local(firing) for firing in timetable.preview(now, count)]
        words = timetable.describe()
    else:
        workflow, name = _names(schedule or "")
        with connected(store, app, namespace) as engine:
            firings = engine.schedules.preview(workflow, name, count)
            words = ScheduleView.of(engine.schedules.get(workflow, name)).words
    if json:
        for firing in firings:
            emit({"fires": firing})
        return
    say(words)
    out().print(firings_table(firings, now))


@schedules.command()
def create(
    schedule: Annotated[str, typer.Argument(metavar="SCHEDULE", help="WORKFLOW/NAME, of which NAME is yours to choose.")],
    spec: Annotated[str, typer.Argument(help="A cron expression: '0 9 * * 1-5', '@daily', '@every 90m'.")],
    object_: Annotated[
        str | None,
        typer.Option("--object", "-o", metavar="JSON|@FILE|-", help="The object of its runs: JSON, a file, or standard input."),
    ] = None,
    foreign_id: Annotated[str | None, typer.Option("--foreign-id", "-f", help="Of its runs. Default: NAME.")] = None,
    status: Annotated[
        str | None, typer.Option("--status", help="Where its runs start. Default: the first starting status.")
    ] = None,
    timezone: TimeZone = "UTC",
    gap: InGap = Gap.NEXT,
    overlap_hour: Twice = OverlapHour.AUTO,
    misfire: Annotated[Misfire, typer.Option("--misfire", help="Slots that were missed while no worker ran.")] = Misfire.ONCE,
    misfire_grace: Annotated[str, typer.Option("--misfire-grace", metavar="SPAN", help="How late a slot may be.")] = "1m",
    max_catch_up: Annotated[
        int | None, typer.Option("--max-catch-up", help="With --misfire all: how many are made up for. Default: 100.")
    ] = None,
    if_running: Annotated[
        IfRunning, typer.Option("--if-running", help="A slot that comes while the run before has not ended.")
    ] = IfRunning.SKIP,
    replace: Annotated[bool, typer.Option("--replace", help="Change one of this name that was made at run time.")] = False,
    actor: arguments.Actor = None,
    app: Code = None,
    store: arguments.Store = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Make a schedule; workers fire it from now on. The workflow's code (--app) says what its object has to be."""
    workflow, name = _names(schedule)
    data = None if object_ is None else read_object(object_)
    options: ScheduleOptions = {
        "timezone": timezone,
        "gap": gap,
        "overlap_hour": overlap_hour,
        "misfire": misfire,
        "misfire_grace": _grace(misfire_grace),
        "if_running": if_running,
    }
    if max_catch_up is not None:
        options["max_catch_up"] = max_catch_up
    with connected(store, app, namespace) as engine:
        _need_code(engine)
        flow = workflow_named(engine, workflow)
        if data is None and not flow.codec.allows_none:
            raise UsageProblem(f"a run of {workflow} needs an object.", remedy="Give --object.")
        with asked_of_sound_code():
            made = engine.schedules.create(
                flow,
                name,
                spec,
                None if data is None else decoded_object(flow, data),
                foreign_id=foreign_id,
                start_status=None if status is None else status_member(flow, status),
                replace=replace,
                actor=actor,
                **options,
            )
    view = ScheduleView.of(made)
    if json:
        emit(view)
    else:
        first = "" if view.next is None else f", first at {moment_text(view.next)}"
        say(f"{workflow}/{name} fires {view.words}{first}")


@schedules.command()
def pause(
    named: Several,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; it is kept with the schedule.")],
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Let schedules fire no more until they are resumed. Deployments do not change that."""
    with connected(store, app, namespace) as engine:
        _each(named, "paused", lambda workflow, name: engine.schedules.pause(workflow, name, reason, actor), json)


@schedules.command()
def resume(
    named: Several,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Let paused schedules fire again, from their first slot after now."""
    with connected(store, app, namespace) as engine:
        _each(named, "resumed", lambda workflow, name: engine.schedules.resume(workflow, name, actor), json)


@schedules.command()
def delete(
    named: Several,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; the journal keeps it.")] = "",
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Remove schedules that were made at run time. Those of the code are removed there."""
    with connected(store, app, namespace) as engine:
        _each(named, "removed", lambda workflow, name: engine.schedules.delete(workflow, name, reason, actor), json)


@schedules.command()
def trigger(
    schedule: One,
    actor: arguments.Actor = None,
    app: Code = None,
    store: arguments.Store = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Start a run of a schedule now; its next slot comes when it would have come. Its function is called here (--app)."""
    workflow, name = _names(schedule)
    with connected(store, app, namespace) as engine:
        _need_code(engine)
        flow = workflow_named(engine, workflow)
        try:
            handle = engine.schedules.trigger(flow, name, actor)
        except FlowError:
            raise
        except Exception as error:
            raise FlowError(f"the function of {schedule} failed: {type(error).__name__}: {error}") from error
    if json:
        emit({"schedule": schedule, "run_id": None if handle is None else handle.run_id})
    elif handle is None:
        say(f"{schedule} wants no run now")
    else:
        say(f"started {workflow}/{handle.foreign_id} ({handle.run_id})")


def _each(texts: list[str], done: str, act: Callable[[str, str], Schedule], json: bool) -> None:
    """One line per schedule. One that refuses does not keep the others from being asked; the first refusal decides the exit
    code."""
    code: int | None = None
    for text in texts:
        try:
            view = ScheduleView.of(act(*_names(text)))
        except ScheduleError as error:
            fail(explained(error))
            code = exit_code_of(error) if code is None else code
            continue
        if json:
            emit(view)
        else:
            say(f"{text} is {done}{'' if view.next is None else f', next at {moment_text(view.next)}'}")
    if code is not None:
        raise typer.Exit(code)


def _names(text: str) -> tuple[str, str]:
    workflow, slash, name = text.partition("/")
    if not slash or not workflow or not name:
        raise UsageProblem(f"{text!r} names no schedule.", remedy="Write WORKFLOW/NAME; flowdsl schedules list shows them.")
    return workflow, name


def _need_code(engine: Engine) -> None:
    if not engine.workflows:
        raise UsageProblem("this needs the workflow's code, which is not here.", remedy="Give --app MODULE:ENGINE.")


def _grace(text: str) -> timedelta:
    span = parse_span(text)
    if span is None:
        raise UsageProblem(f"--misfire-grace {text!r} is no span of time.", remedy="Write e.g. 30s, 5m or 2h.")
    return span

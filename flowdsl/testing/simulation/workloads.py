"""The workloads that simulations draw from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from flowdsl.testing.simulation.workload import HOOKS, Calendar, Door, Flow, Mischief, Place, Step, Timer, Workload

A, B, C, D, E = Place

LINEAR = Flow(
    name="linear",
    steps=(
        Step(from_=A, to=(B,)),
        Step(from_=B, to=(C,), is_async=True),
        Step(from_=C, to=(D,)),
    ),
)
BRANCHING = Flow(
    name="branching",
    steps=(
        Step(from_=A, to=(B, C)),
        Step(from_=B, to=(D,), is_async=True, mischief=Mischief(cancels=0.2)),
        Step(from_=C, to=(D, E), mischief=Mischief(pauses=0.2)),
    ),
)
REPEATING = Flow(
    name="repeating",
    steps=(
        Step(from_=A, to=(B,), mischief=Mischief(repeats=4)),
        Step(from_=B, to=(C,), is_async=True, mischief=Mischief(repeats=2, fails=0.2)),
    ),
)
CYCLING = Flow(
    name="cycling",
    steps=(
        Step(from_=D, to=(A,)),  # nothing leads here: where runs begin
        Step(from_=A, to=(B,)),
        Step(from_=B, to=(A, C), mischief=Mischief(fails=0.1)),
    ),
    cycles=True,
)
PAUSING = Flow(
    name="pausing",
    steps=(
        Step(from_=A, to=(B,), mischief=Mischief(pauses=0.4)),
        Step(from_=B, to=(C,), mischief=Mischief(pauses=0.2, cancels=0.2)),
        Step(from_=C, to=(D,), is_async=True, mischief=Mischief(skips=0.3)),
    ),
)
FAILING = Flow(
    name="failing",
    steps=(
        Step(from_=A, to=(B,), mischief=Mischief(fails=0.5)),
        Step(from_=B, to=(C,), is_async=True, mischief=Mischief(fails=0.4, most_failures=4), backoff=timedelta(seconds=5)),
        Step(from_=C, to=(D,), mischief=Mischief(hopeless=0.2), pause_after=2),
    ),
)
PARALLEL = Flow(
    name="parallel",
    steps=(
        Step(from_=A, to=(B,), parallel_count=1, concurrency=1),
        Step(from_=B, to=(C,), parallel_count=2, mischief=Mischief(fails=0.1)),
        Step(from_=C, to=(D,), is_async=True, parallel_count=3, concurrency=1),
    ),
)
LAGGING = Flow(
    name="lagging",
    steps=(
        Step(from_=A, to=(B,), lag=timedelta(seconds=3)),
        Step(from_=B, to=(C,), lag=timedelta(seconds=1), mischief=Mischief(repeats=1)),
        Step(from_=C, to=(D,), is_async=True),
    ),
)
DEADLY = Flow(
    name="deadly",
    steps=(
        Step(from_=A, to=(B,), mischief=Mischief(deadly=0.15), pause_after=2),
        Step(from_=B, to=(C,), is_async=True),
    ),
)

SLEEPY = Flow(
    name="sleepy",
    steps=(Step(from_=A, to=(B,), mischief=Mischief(fails=0.2)), Step(from_=C, to=(D,), mischief=Mischief(repeats=2))),
    timers=(
        Timer(from_=B, to=(C, E), after=timedelta(seconds=20), mischief=Mischief(fails=0.3, cancels=0.1)),
        Timer(from_=C, to=(E,), after=timedelta(seconds=4), computed=True, is_async=True),
    ),
    hooks=("pause", "complete"),
)
ASKED = Flow(
    name="asked",
    steps=(Step(from_=A, to=(B,), lag=timedelta(seconds=2)), Step(from_=C, to=(D,), is_async=True)),
    timers=(Timer(from_=B, to=(E,), after=timedelta(seconds=90)),),
    doors=(
        Door(from_=B, to=(C,), mischief=Mischief(fails=0.2, skips=0.3, pauses=0.1), is_async=True),
        Door(from_=C, to=(E,), early=False, mischief=Mischief(skips=0.3)),
    ),
    hooks=("cancel", "transition"),
)
WATCHED = Flow(
    name="watched",
    steps=(
        Step(from_=A, to=(B,), mischief=Mischief(fails=0.4, pauses=0.2)),
        Step(from_=B, to=(C,), mischief=Mischief(hopeless=0.2, cancels=0.2), pause_after=2),
    ),
    hooks=HOOKS,
    hook_fails=0.5,
)
PARENTS = Flow(
    name="parents",
    steps=(
        Step(from_=A, to=(B,), starts="linear", mischief=Mischief(fails=0.2)),
        Step(from_=B, to=(C, D), starts="linear", mischief=Mischief(pauses=0.1, repeats=1)),
        Step(from_=C, to=(D,), is_async=True),
    ),
)
SCHEDULED = Flow(
    name="scheduled",
    steps=(Step(from_=A, to=(B,)), Step(from_=B, to=(C,), is_async=True, mischief=Mischief(fails=0.1))),
    calendars=(Calendar(name="minutely", declines=0.1, fails=0.2), Calendar(name="steady")),
)

CALM: Mapping[str, int] = {"wait": 2, "again": 1}
BUSY: Mapping[str, int] = {"wait": 2, "again": 1, "pause": 3, "resume": 4, "cancel": 1, "force": 1}

WORKLOADS: Mapping[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload(name="linear", flows=(LINEAR,), verbs=CALM, keys=0.5),
        Workload(name="branching", flows=(BRANCHING,), verbs=CALM),
        Workload(name="repeating", flows=(REPEATING,), verbs=BUSY),
        Workload(name="cycling", flows=(CYCLING,), verbs=BUSY),
        Workload(name="pausing", flows=(PAUSING,), verbs=BUSY),
        Workload(name="failing", flows=(FAILING,), verbs={**CALM, "resume": 2}),
        Workload(name="parallel", flows=(PARALLEL,), verbs=CALM),
        Workload(name="lagging", flows=(LAGGING,), verbs=BUSY),
        Workload(name="deadly", flows=(DEADLY, LINEAR), verbs=CALM, auto_resumes=0),
        Workload(name="sleepy", flows=(SLEEPY,), verbs=BUSY),
        Workload(name="asked", flows=(ASKED,), verbs={**BUSY, "call": 8}, keys=0.5),
        Workload(name="watched", flows=(WATCHED,), verbs={**BUSY, "delete": 3}),
        Workload(name="scheduled", flows=(SCHEDULED, LINEAR), verbs=CALM),
        Workload(name="parents", flows=(PARENTS, LINEAR), verbs=BUSY),
        Workload(name="erased", flows=(ASKED, WATCHED), verbs={**BUSY, "call": 6, "delete": 6}, keys=0.5),
        Workload(name="together", flows=(LINEAR, FAILING, PARALLEL, PAUSING), verbs=BUSY),
    )
}
"""By name."""

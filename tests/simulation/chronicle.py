"""Evidence written by hand: the history of one run without a fault, for tests that then spoil it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace as changed

from flowdsl.model.change import CommitOutcome
from flowdsl.model.history import Cause, HistoryRow
from flowdsl.model.item import Item
from flowdsl.model.pending import PendingRow, RowKind
from flowdsl.model.record import Payload, RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import START, ManualClock
from flowdsl.testing.simulation.evidence import Evidence, by_run, by_version
from flowdsl.testing.simulation.fault import Fault
from flowdsl.testing.simulation.journal import Answer, Commit, Execution, Journal, Kind, Loss, Ordered, Told, Trigger
from flowdsl.testing.simulation.workload import Calendar, Cargo, Door, Flow, Mischief, Place, Step, Timer, Workload, secret_of

A, B, C, D, E = Place
SECOND = timedelta(seconds=1)
CALENDAR = Calendar(name="minutely")
FLOW = Flow(
    name="flow",
    steps=(
        Step(from_=A, to=(B,), mischief=Mischief(fails=1.0), backoff=2 * SECOND, pause_after=2),
        Step(from_=B, to=(C,), lag=3 * SECOND),
    ),
    timers=(Timer(from_=D, to=(C,), after=20 * SECOND),),
    doors=(Door(from_=E, to=(C,)),),
    hooks=("complete", "error"),
    calendars=(CALENDAR,),
)
KINDS = {Cause.STEP: Kind.STEP, Cause.TIMEOUT: Kind.TIMEOUT, Cause.CALLBACK: Kind.CALLBACK}
WORKLOAD = Workload(name="by hand", flows=(FLOW,), verbs={}, auto_resume=timedelta(seconds=40), auto_resumes=1)


@dataclass
class Chronicle:
    """A run that went from A over B to C. `moment` is the time of what is added next; every method adds what a sound run has."""

    run_id: str = "r1"
    foreign_id: str = "f1"
    moment: datetime = START
    rows: list[HistoryRow] = field(default_factory=list)
    trail: list[str] = field(default_factory=list)
    journal: Journal = field(default_factory=lambda: Journal(ManualClock()))
    pending: list[PendingRow] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    owners: set[str] = field(default_factory=lambda: {"owner"})
    faults: set[Fault] = field(default_factory=set)
    record_changes: dict[str, Any] = field(default_factory=dict)
    recovery: timedelta | None = timedelta(0)
    leftovers: list[str] = field(default_factory=list)
    others: list[Chronicle] = field(default_factory=list)

    def triggered(self, key: str | None = None, status: str = "a") -> Chronicle:
        tick = self.journal.tick
        self.journal.triggers.append(
            Trigger(
                workflow=FLOW.name,
                foreign_id=self.foreign_id,
                key=key,
                asked=tick(),
                answered=tick(),
                told=Told.DONE,
                run_id=self.run_id,
            )
        )
        self.version(Cause.TRIGGER, status, RunState.INITIATED)
        return self

    def fired(self, slot: datetime | None = None) -> Chronicle:
        """The run was started by the schedule, for the slot of this moment if nothing else is said."""
        slot = slot or self.moment
        self.asked_for(slot)
        self.record_changes["metadata"] = {"schedule": CALENDAR.name, "slot": slot.isoformat()}
        self.version(Cause.TRIGGER, "a", RunState.INITIATED)
        return self

    def asked_for(self, slot: datetime, answer: Answer = Answer.STATUS) -> None:
        """The schedule's function was asked what it wants for a slot."""
        self.journal.ordered.append(Ordered(FLOW.name, CALENDAR.name, slot, self.moment, answer))

    def version(self, cause: Cause, to: str, state: RunState, **changes: Any) -> HistoryRow:
        """One more row of the history, and the store's answer to the change that made it."""
        number = len(self.rows) + 1
        before = self.rows[-1] if self.rows else None
        row = HistoryRow(
            run_id=self.run_id,
            version=number,
            from_status=before.to_status if before else None,
            to_status=to,
            from_state=before.to_state if before else RunState.UNKNOWN,
            to_state=state,
            cause=cause,
            name="step",
            actor="owner",
            reason=changes.pop("reason", None),
            error=None,
            attempt=1,
            change_id=f"{self.run_id}-{number}",
            at=self.moment,
        )
        self.rows.append(changed(row, **changes))
        self.journal.commits.append(Commit("worker-1", row.change_id, self.run_id, number, CommitOutcome.APPLIED))
        return self.rows[-1]

    def executed(
        self,
        answer: Answer = Answer.STATUS,
        to: str = "",
        node: str = "worker-1",
        attempt: int = 1,
        kind: Kind = Kind.STEP,
        task: str = "",
    ) -> Execution:
        """Something ran on the version that the run has now: its step, if nothing else is said."""
        last, tick = self.rows[-1], self.journal.tick
        execution = Execution(
            node=node,
            began=tick(),
            began_at=self.moment,
            workflow=FLOW.name,
            foreign_id=self.foreign_id,
            run_id=self.run_id,
            version=last.version,
            status=last.to_status,
            state=RunState.RUNNING if kind is not Kind.HOOK else last.to_state,
            attempt=attempt,
            key=f"{self.run_id}:{last.version}{'' if kind is Kind.STEP else f':{kind.value}{task}'}",
            trail=tuple(self.trail),
            ended=tick(),
            ended_at=self.moment,
            answer=answer,
            to=to,
            kind=kind,
            task=task,
        )
        self.journal.executions.append(execution)
        return execution

    def moved(self, to: str, state: RunState, cause: Cause = Cause.STEP, task: str = "") -> Chronicle:
        """A step, timeout or callback ran and led to another status, its mark is in the object, and hooks were told."""
        self.executed(to=to, kind=KINDS[cause], task=task)
        self.trail.append(f"{self.rows[-1].to_status}@{self.rows[-1].version}{f'!{task}' if task else ''}")
        self.version(cause, to, state)
        if state is RunState.COMPLETED:
            self.executed(kind=Kind.HOOK, task="complete")
        return self

    def failed(self, attempt: int = 1) -> Chronicle:
        """A step raised, the store has it, and the hook was told."""
        self.executed(Answer.RAISED, attempt=attempt)
        self.journal.commits.append(
            Commit("worker-1", f"failure-{self.journal.tick()}", self.run_id, 0, CommitOutcome.APPLIED, failed=True)
        )
        self.executed(kind=Kind.HOOK, task="error")
        return self

    def later(self, seconds: float) -> Chronicle:
        self.moment += timedelta(seconds=seconds)
        return self

    def lost(self, node: str = "worker-1") -> None:
        """The process of that name lost its claims."""
        self.journal.losses.append(Loss(node, f"owner-{len(self.journal.losses)}", self.journal.tick()))

    def row(self, **changes: Any) -> PendingRow:
        """A step row that waits for the run's version."""
        last = self.rows[-1]
        row = PendingRow(
            namespace="default",
            workflow=FLOW.name,
            row_id=self.run_id,
            topic=f"flow/{last.to_status}",
            kind=RowKind.STEP,
            receiver="",
            run_id=self.run_id,
            version=last.version,
            visit=1,
            due_at=self.moment,
            created_at=self.moment,
        )
        self.pending.append(changed(row, **changes))
        return self.pending[-1]

    def record(self) -> RunRecord:
        last = self.rows[-1]
        record = RunRecord(
            workflow=FLOW.name,
            run_id=self.run_id,
            foreign_id=self.foreign_id,
            status=last.to_status,
            state=last.to_state,
            version=last.version,
            payload=Payload(msgspec.json.encode(Cargo(self.foreign_id, secret_of(self.foreign_id), self.trail))),
            created_at=self.rows[0].at,
            updated_at=last.at,
            change_id=last.change_id,
            reason=last.reason,
        )
        return changed(record, **self.record_changes)

    def evidence(self) -> Evidence:
        every: Sequence[Chronicle] = [self, *self.others]
        return Evidence(
            journal=self.journal,
            workload=WORKLOAD,
            runs={one.run_id: one.record() for one in every},
            histories={one.run_id: one.rows for one in every},
            rows={one.run_id: one.pending for one in every},
            items=self.items,
            owners=frozenset(self.owners),
            faults=frozenset(self.faults),
            recovery=self.recovery,
            leftovers=self.leftovers,
            now=self.moment,
            steps=by_version(self.journal.executions),
            others=by_run(self.journal.executions),
        )

    def beside(self, run_id: str, foreign_id: str) -> Chronicle:
        """Another run in the same journal."""
        other = Chronicle(run_id=run_id, foreign_id=foreign_id, moment=self.moment, journal=self.journal)
        self.others.append(other)
        return other


def complete() -> Chronicle:
    """A run from A over B to C, where it ends."""
    return Chronicle().triggered().later(1).moved("b", RunState.RUNNING).later(3).moved("c", RunState.COMPLETED)


def spoil(execution: Execution, **changes: Any) -> None:
    """Change what the journal says of an execution."""
    for name, value in changes.items():
        setattr(execution, name, value)


def last_step(story: Chronicle) -> Execution:
    """The last execution of a step."""
    return [one for one in story.journal.executions if one.kind is Kind.STEP][-1]

"""I8: each slot of a schedule is one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from flowdsl.testing.simulation.evidence import Evidence
from flowdsl.testing.simulation.invariants.violation import Violation
from flowdsl.testing.simulation.journal import Answer
from flowdsl.testing.simulation.workload import Calendar, Flow

MINUTE = timedelta(minutes=1)


def slots_fired(evidence: Evidence) -> Iterator[Violation]:
    """I8, schedules: each slot has one run, however many schedulers there were and whatever became of them; none is early; and
    none is missing but those for which the schedule's function wanted no run, and one whose failed attempt was the last thing
    that was heard of the schedule: the next attempt is still to come."""
    for flow in evidence.workload.flows:
        for calendar in flow.calendars:
            yield from _calendar(evidence, flow, calendar)


def _calendar(evidence: Evidence, flow: Flow, calendar: Calendar) -> Iterator[Violation]:
    fired: Counter[datetime] = Counter()
    for record in evidence.runs.values():
        if record.workflow == flow.name and record.metadata.get("schedule") == calendar.name:
            slot = datetime.fromisoformat(record.metadata["slot"])
            fired[slot] += 1
            if record.created_at < slot:
                yield Violation("I8", f"the slot {slot} of {calendar.name} was fired at {record.created_at}", record.run_id)
    asked = [one for one in evidence.journal.ordered if (one.workflow, one.schedule) == (flow.name, calendar.name)]
    declined = {one.slot for one in asked if one.answer is Answer.SKIP}
    for slot, count in fired.items():
        if count > 1:
            yield Violation("I8", f"the slot {slot} of {calendar.name} has {count} runs")
        if slot in declined:
            yield Violation("I8", f"the slot {slot} of {calendar.name} has a run that nobody wanted")
    failing = asked[-1].slot if asked and asked[-1].answer is Answer.RAISED else None
    moment = min((one.slot for one in asked), default=None)
    while moment is not None and moment <= evidence.now:
        if moment not in fired and moment not in declined and moment != failing:
            yield Violation("I8", f"the slot {moment} of {calendar.name} has no run")
        moment += MINUTE

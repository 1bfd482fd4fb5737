"""Which transitions of a workflow its tests have taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flowdsl.dsl.workflow import Workflow
from flowdsl.model.query import Cursor, RunQuery
from flowdsl.ports.record_store import RecordStore


class Transition(NamedTuple):
    """One way from a status to another."""

    source: str
    target: str
    function: str

    def __str__(self) -> str:
        return f"{self.source} -> {self.target} by {self.function}"


@dataclass(slots=True)
class TransitionCoverage:
    """Collects what runs went through. Workflows are told apart by name."""

    known: dict[str, dict[Transition, None]] = field(default_factory=dict)
    taken: dict[str, dict[Transition, None]] = field(default_factory=dict)

    def expect(self, workflow: Workflow[Any, Any]) -> None:
        """These are the transitions that there are."""
        edges = self.known.setdefault(workflow.name, {})
        edges.update(dict.fromkeys(Transition(edge.source, edge.target, edge.name) for edge in workflow.graph.edges))

    def observe(self, store: RecordStore, workflows: Iterable[Workflow[Any, Any]], namespace: str = "default") -> None:
        """Look at the histories of a store's runs."""
        for workflow in workflows:
            self.expect(workflow)
            after: Cursor | None = None
            while True:
                page = store.runs(RunQuery(namespace=namespace, workflows=(workflow.name,), limit=500, after=after))
                for run in page.runs:
                    self._note(workflow.name, store, run.run_id)
                after = page.next
                if after is None:
                    break

    def _note(self, workflow: str, store: RecordStore, run_id: str) -> None:
        taken, known = self.taken.setdefault(workflow, {}), self.known[workflow]
        for row in store.history(run_id):
            way = Transition(row.from_status or "", row.to_status, row.name)
            if way in known:
                taken[way] = None

    def missed(self, workflow: str) -> list[Transition]:
        """Those that no run has taken, in order of declaration."""
        return [way for way in self.known.get(workflow, {}) if way not in self.taken.get(workflow, {})]

    def lines(self) -> list[str]:
        """A report for people."""
        report: list[str] = []
        for workflow, known in sorted(self.known.items()):
            missed = self.missed(workflow)
            report.append(f"{workflow}: {len(known) - len(missed)} of {len(known)} transitions")
            report += [f"  not taken: {way}" for way in missed]
        return report

    def as_data(self) -> dict[str, Any]:
        """Lists and texts, for another process."""
        parts: Mapping[str, Mapping[str, Mapping[Transition, None]]] = {"known": self.known, "taken": self.taken}
        return {part: {name: [list(way) for way in ways] for name, ways in flows.items()} for part, flows in parts.items()}

    def add_data(self, data: Mapping[str, Mapping[str, Iterable[Iterable[str]]]]) -> None:
        """What another process collected."""
        for mine, part in ((self.known, "known"), (self.taken, "taken")):
            for name, ways in data[part].items():
                mine.setdefault(name, {}).update(dict.fromkeys(Transition(*way) for way in ways))


current: TransitionCoverage | None = None
"""Where stepped engines report to as they stop; None: nobody asked."""

"""The workflows and statuses that a filter names: is there such a thing?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from flowdsl.cli.problem import TargetProblem
from flowdsl.cli.target import AnyWorkflow, guess, named_member, workflow_named
from flowdsl.clock import SystemClock
from flowdsl.engine.engine import Engine
from flowdsl.model.where import Where

_RECENT = 100
"""The newest runs, in which a like name is looked for when nothing has the one that was asked for."""


class FilterNames:
    """Checked against the code, where it is at hand, and then against the store: a name that only stored runs have, of newer or
    older code, is as good as any.

    In: `as_stored`, whether statuses are meant as they are stored; otherwise the name of a member will do.
    """

    def __init__(self, engine: Engine, workflows: Iterable[str], statuses: Iterable[str], *, as_stored: bool) -> None:
        self._engine = engine
        self._workflows = list(workflows)
        self._statuses = list(statuses)
        self._as_stored = as_stored

    @classmethod
    def of_where(cls, engine: Engine, where: str) -> FilterNames:
        """Those of a --where. Raises WhereError."""
        query = Where.parse(where).query(engine.namespace, SystemClock().now())
        workflows, statuses = ((), ()) if query is None else (query.workflows, query.statuses)
        return cls(engine, workflows, statuses, as_stored=True)

    def stored(self) -> list[str]:
        """The statuses as the store knows them. Raises TargetProblem for names that neither the code nor a stored run has;
        without any code every name passes."""
        if not self._engine.workflows:
            return self._statuses
        coded = {flow.name: flow for flow in self._engine.workflows}
        for name in self._workflows:
            if name not in coded and not self._has_runs([name]):
                workflow_named(self._engine, name)
        flows = [flow for name, flow in coded.items() if name in self._workflows or not self._workflows]
        return list(dict.fromkeys(key for text in self._statuses for key in self._keys(flows, text)))

    def _keys(self, flows: Sequence[AnyWorkflow], text: str) -> list[str]:
        members = [(flow, named_member(flow, text)) for flow in flows]
        keys = [flow.key(member) for flow, member in members if member is not None]
        if text in keys or (keys and not self._as_stored):
            return [*keys, text]  # the text itself, too: stored runs may have it from other code
        if self._has_runs(self._workflows, text):
            return [text]
        known = {flow.name: [flow.key(member) for member in flow.status_type.__members__.values()] for flow in flows}
        likely = f"Did you mean {keys[0]!r}? " if keys else guess(text, [key for keys_of in known.values() for key in keys_of])
        one = len(flows) == 1
        has = "; ".join(f"{'It' if one else name} has {', '.join(keys_of)}" for name, keys_of in known.items())
        where = f"workflow {flows[0].name!r} has" if one else "the workflows here have"
        raise TargetProblem(f"{where} no status {text!r}, and no stored run is in such a one.", remedy=f"{likely}{has}.")

    def notes(self) -> Iterator[str]:
        """Why nothing was found: names that no stored run has, unless the code knows them."""
        recent = self._engine.runs(limit=_RECENT).runs
        if not recent:
            yield f"This store has no runs in the namespace {self._engine.namespace!r}."
            return
        coded = {flow.name: flow for flow in self._engine.workflows}
        unknown = [name for name in self._workflows if name not in coded and not self._has_runs([name])]
        for name in unknown:
            known = list(dict.fromkeys(run.workflow for run in recent))
            yield f"No stored run is of a workflow {name!r}. {guess(name, known)}The newest runs are of {', '.join(known)}."
        if unknown and len(unknown) == len(self._workflows):
            return
        for text in self._statuses:
            if any(named_member(flow, text) is not None for flow in coded.values()) or self._has_runs(self._workflows, text):
                continue
            known = list(dict.fromkeys(run.status for run in recent if run.workflow in self._workflows or not self._workflows))
            newest = f" {guess(text, known)}The newest are in {', '.join(known)}." if known else ""
            of = f" of {', '.join(self._workflows)}" if self._workflows else ""
            yield f"No stored run{of} is in a status {text!r}.{newest}"

    def _has_runs(self, workflows: Sequence[str], status: str | None = None) -> bool:
        statuses = () if status is None else (status,)
        return any(self._engine.runs(name, statuses=statuses, limit=1).runs for name in workflows or (None,))

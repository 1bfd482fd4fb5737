"""Declared migrations: where runs go that are in a status which the code has no more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from flowdsl.dsl.spec import Place
from flowdsl.graph.edge import Edge, EdgeCause
from flowdsl.graph.finding import Finding

Rewrite = Callable[[dict[str, Any]], Any]
"""Given the JSON object in the present schema version; answers another, or changes it in place and answers None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationSpec:
    """From a status, as it is stored, to one of the code's."""

    from_key: str
    to_key: str
    fn: Rewrite | None
    """None: the object stays as it is."""
    name: str
    """The function's, or `from -> to`."""
    module: str
    place: Place
    doc: str


class Migrations:
    """The migrations of a workflow. Declaring the same function again, or the same way, replaces the earlier declaration."""

    def __init__(self) -> None:
        self._specs: dict[tuple[str, str, str, str], MigrationSpec] = {}

    @property
    def specs(self) -> Sequence[MigrationSpec]:
        return tuple(self._specs.values())

    def add(self, spec: MigrationSpec) -> None:
        self._specs[self._identity(spec)] = spec

    def replace(self, bare: MigrationSpec, spec: MigrationSpec) -> None:
        """A declaration gets its function."""
        self._specs.pop(self._identity(bare), None)
        self.add(spec)

    def edges(self) -> list[Edge]:
        return [Edge(spec.from_key, spec.to_key, EdgeCause.MIGRATION, spec.name, spec.doc) for spec in self.specs]

    def findings(self, statuses: Collection[str], left: Collection[str]) -> list[Finding]:
        """What is wrong with them. In: the statuses that steps, callbacks and timeouts mention, and those that they leave."""
        found: list[Finding] = []
        first: dict[str, MigrationSpec] = {}
        sources = {spec.from_key for spec in self.specs}
        for spec in self.specs:
            place, earlier = str(spec.place), first.setdefault(spec.from_key, spec)
            if earlier is not spec:
                text = f"migrations {earlier.name} ({earlier.place}) and {spec.name} both begin at status {spec.from_key!r}."
                found.append(Finding("duplicate-migration", text, place, "Keep one."))
            if spec.from_key in left:
                text = f"migration {spec.name} would take every run out of {spec.from_key!r}, from which this code leads on."
                found.append(Finding("live-migration", text, place, "Migrate only statuses that are no more."))
            if spec.to_key not in statuses:
                text = f"migration {spec.name} leads to {spec.to_key!r}, which nothing mentions."
                found.append(Finding("lost-migration", text, place, "Lead to a status that something leaves or leads to."))
            elif spec.to_key in sources:
                text = f"migration {spec.name} leads to {spec.to_key!r}, which is migrated itself."
                found.append(Finding("chained-migration", text, place, "Lead to where those runs go."))
        return found

    def _identity(self, spec: MigrationSpec) -> tuple[str, str, str, str]:
        return (spec.from_key, spec.to_key, spec.module, spec.name)

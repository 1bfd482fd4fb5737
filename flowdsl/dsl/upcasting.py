"""Stored objects of older schema versions are brought to the present one, a version at a time, whenever they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from flowdsl.errors import DefinitionError, NewerSchemaError, PayloadError
from flowdsl.graph.finding import Finding
from flowdsl.model.record import Payload

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
"""From the JSON object of one schema version to that of the next."""
MOST_VERSIONS = 10_000


class Upcaster(NamedTuple):
    """A function that was declared as one."""

    fn: Upcast
    name: str
    module: str
    place: str


class Upcasters:
    """The schema version that a workflow's objects have now, and the functions that lead there. In: the version, from 1.
    Raises DefinitionError."""

    def __init__(self, version: int, place: str | None = None) -> None:
        if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= MOST_VERSIONS:
            raise DefinitionError(
                f"schema_version={version!r} is not a number from 1 to {MOST_VERSIONS}.",
                place=place,
                remedy="Begin with 1, and add 1 when the object changes so that older ones cannot be read as they are.",
            )
        self.version = version
        self._steps: dict[int, Upcaster] = {}
        self._twice: list[Finding] = []

    def add(self, from_version: int, step: Upcaster) -> None:
        """Declare what leads from a version to the next. Raises DefinitionError."""
        if not isinstance(from_version, int) or isinstance(from_version, bool) or not 1 <= from_version < self.version:
            raise DefinitionError(
                f"from_version={from_version!r} is not below the workflow's schema_version, {self.version}.",
                place=step.place,
                remedy="Raise schema_version= of the Workflow by one with each upcaster.",
            )
        before = self._steps.get(from_version)
        if before is not None and (before.module, before.name) != (step.module, step.name):
            self._twice.append(
                Finding(
                    "duplicate-upcaster",
                    f"upcasters {before.name} ({before.place}) and {step.name} both begin at schema version {from_version}.",
                    step.place,
                    "Keep one.",
                )
            )
        self._steps[from_version] = step

    def findings(self, place: str) -> list[Finding]:
        """What is wrong with them together: two for one version, and versions in between that none begins at."""
        found = list(self._twice)
        first = min(self._steps, default=self.version)
        found += [
            Finding(
                "upcast-gap",
                f"no upcaster begins at schema version {version}: objects of version {first} could not be read.",
                place,
                f"Declare one with @workflow.upcast(from_version={version}).",
            )
            for version in range(first, self.version)
            if version not in self._steps
        ]
        return found

    def knows(self, payload: Payload | None) -> bool:
        """Whether this code is new enough for a stored object."""
        return payload is None or payload.schema_version <= self.version

    def present(self, payload: Payload) -> bytes:
        """The JSON of a stored object in the present version. Raises NewerSchemaError, PayloadError."""
        if payload.schema_version == self.version:
            return payload.data
        if payload.schema_version > self.version:
            raise NewerSchemaError(
                f"a stored object has schema version {payload.schema_version}; this code knows {self.version}.",
                remedy="It is left for newer code; deploy that.",
            )
        try:
            raw = msgspec.json.decode(payload.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise PayloadError(f"a stored object is no JSON: {error}") from error
        for version in range(payload.schema_version, self.version):
            raw = self._next(raw, version)
        try:
            return msgspec.json.encode(raw)
        except (TypeError, ValueError, RecursionError) as error:
            raise PayloadError(f"an upcast object cannot be stored as JSON: {error}") from error

    def _next(self, raw: Any, version: int) -> Any:
        step = self._steps.get(version)
        if step is None:
            raise PayloadError(
                f"a stored object has schema version {version}, and no upcaster leads on from there.",
                remedy=f"Declare one with @workflow.upcast(from_version={version}).",
            )
        try:
            answer: Any = step.fn(raw)
        except Exception as error:
            raise PayloadError(f"upcaster {step.name} ({step.place}) raised {type(error).__name__}: {error}") from error
        if answer is None:
            raise PayloadError(f"upcaster {step.name} ({step.place}) answered None.", remedy="Return the object.")
        return answer

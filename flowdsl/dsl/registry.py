"""The registry of a workflow: every function that was declared on it, and what is wrong with each alone. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, TypeVar

from flowdsl.dsl.schedule import ScheduleSpec, findings_together, schedule_findings
from flowdsl.dsl.signature import arguments_of, findings_of
from flowdsl.dsl.spec import CallbackSpec, DeletionSpec, FunctionSpec, HookSpec, StepSpec, TimeoutSpec
from flowdsl.graph.edge import Edge, EdgeCause
from flowdsl.graph.finding import Finding

SpecT = TypeVar("SpecT", bound=FunctionSpec)
Identity = tuple[str, str, str]


class Registry:
    """Declaring the same function again (a reload, a notebook) replaces the earlier declaration."""

    def __init__(self, status_type: type[Enum], object_type: Any = Any) -> None:
        self._status_type = status_type
        self._object_type = object_type
        self._steps: dict[Identity, StepSpec] = {}
        self._timeouts: dict[Identity, TimeoutSpec] = {}
        self._callbacks: dict[Identity, CallbackSpec] = {}
        self._hooks: dict[Identity, HookSpec] = {}
        self._schedules: dict[Identity, ScheduleSpec] = {}
        self._deletion: DeletionSpec | None = None
        self._early: dict[tuple[str, Identity], list[Finding]] = {}

    @property
    def steps(self) -> Sequence[StepSpec]:
        return tuple(self._steps.values())

    @property
    def timeouts(self) -> Sequence[TimeoutSpec]:
        return tuple(self._timeouts.values())

    @property
    def callbacks(self) -> Sequence[CallbackSpec]:
        return tuple(self._callbacks.values())

    @property
    def hooks(self) -> Sequence[HookSpec]:
        return tuple(self._hooks.values())

    @property
    def schedules(self) -> Sequence[ScheduleSpec]:
        return tuple(self._schedules.values())

    @property
    def deletion(self) -> DeletionSpec | None:
        return self._deletion

    @property
    def movers(self) -> Sequence[StepSpec]:
        """Everything that leads from a status to another."""
        return (*self.steps, *self.callbacks, *self.timeouts)

    def add_step(self, spec: StepSpec) -> None:
        identity = (spec.module, spec.name, "" if "<locals>" not in spec.name else spec.from_key)
        self._steps[identity] = spec
        self._early["step", identity] = findings_of(spec, self._status_type, "step", 1)

    def add_timeout(self, spec: TimeoutSpec) -> None:
        identity = (spec.module, spec.name, f"{spec.from_key}/{spec.label}")
        self._timeouts[identity] = spec
        found = findings_of(spec, self._status_type, "timeout", 1)
        if spec.at is not None:
            found += arguments_of(spec.at, f"at= of timeout {spec.label}", spec.place, 2, "the run and the time")
        self._early["timeout", identity] = found

    def add_callback(self, spec: CallbackSpec) -> None:
        identity = (spec.module, spec.name, f"{spec.from_key}/{spec.label}")
        self._callbacks[identity] = spec
        self._early["callback", identity] = findings_of(spec, self._status_type, "callback", 1 if spec.reader is None else 2)

    def add_hook(self, spec: HookSpec) -> None:
        identity = (spec.module, spec.name, f"{spec.event}/{spec.label}")
        self._hooks[identity] = spec
        self._early["hook", identity] = arguments_of(spec.fn, f"hook {spec.name}", spec.place, 1, "the run")

    def add_schedule(self, spec: ScheduleSpec) -> None:
        identity = (spec.module, spec.name, spec.label)
        earlier = self._schedules.get(identity)
        if earlier is not None and earlier.fn is spec.fn:  # two decorators on one function, no reload
            identity = (spec.module, spec.name, f"{spec.label}\0{spec.rule.spec}")
        self._schedules[identity] = spec
        self._early["schedule", identity] = schedule_findings(spec, self._object_type)

    def set_deletion(self, spec: DeletionSpec) -> None:
        self._deletion = spec
        self._early["on_delete", ("", "", "")] = arguments_of(spec.fn, f"on_delete {spec.name}", spec.place, 1, "the run")

    def edges(self) -> list[Edge]:
        """Every way from a status to another, steps first, in order of declaration."""
        edges: list[Edge] = []
        for cause, specs in (
            (EdgeCause.STEP, self.steps),
            (EdgeCause.CALLBACK, self.callbacks),
            (EdgeCause.TIMEOUT, self.timeouts),
        ):
            for spec in specs:
                detail = spec.detail if isinstance(spec, TimeoutSpec) else ""
                edges += [Edge(spec.from_key, target, cause, spec.name, spec.doc, detail) for target in spec.to_keys]
        return edges

    def findings(self) -> list[Finding]:
        """What is wrong with a function alone, or with two of one name."""
        found = [finding for findings in self._early.values() for finding in findings]
        found += _twice("callback", ((spec, spec.from_key, spec.label) for spec in self.callbacks))
        found += _twice("timeout", ((spec, spec.from_key, spec.label) for spec in self.timeouts))
        found += _twice("hook", ((spec, spec.event, spec.label) for spec in self.hooks))
        found += findings_together(self.schedules)
        return found


def _twice(what: str, named: Iterable[tuple[FunctionSpec, str, str]]) -> list[Finding]:
    first: dict[tuple[str, str], FunctionSpec] = {}
    found: list[Finding] = []
    for spec, where, label in named:
        earlier = first.setdefault((where, label), spec)
        if earlier is not spec:
            found.append(
                Finding(
                    f"duplicate-{what}",
                    f"{what}s {earlier.name} ({earlier.place}) and {spec.name} of {where!r} are both named {label!r}.",
                    str(spec.place),
                    "Pass name= to tell them apart.",
                )
            )
    return found

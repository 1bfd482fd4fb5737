"""The lanes beside the steps: one per timeout, callback and hook, and one for deletions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flowdsl.dsl.spec import DeletionSpec, FunctionSpec
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.lane import Lane
from flowdsl.engine.metrics import Metrics
from flowdsl.model.pending import RowKind
from flowdsl.naming import callback_topic, deletion_topic, event_topic, hook_topic, timeout_topic
from flowdsl.options import resolve


def side_lanes(workflow: Workflow[Any, Any], metrics: Metrics, monotonic: Callable[[], float]) -> Iterator[Lane]:
    definition, flow = workflow.definition(), workflow.name

    def lane(spec: FunctionSpec, topic: str, name: str, kind: RowKind) -> Lane:
        if kind in (RowKind.CALLBACK, RowKind.HOOK):
            metrics.dead_letters.labels(flow, name)  # at 0 from the beginning
        return Lane(workflow, spec, topic, name, metrics.process(flow, name), monotonic, kind)

    for status, timeouts in definition.timeouts.items():
        for timeout in timeouts:
            name = f"{status}-timeout-{timeout.label}-consumer"
            yield lane(timeout, timeout_topic(flow, status, timeout.label), name, RowKind.TIMEOUT)
    for status, callbacks in definition.callbacks.items():
        for callback in callbacks:
            name = f"{status}-callback-{callback.label}-consumer"
            yield lane(callback, callback_topic(flow, status, callback.label), name, RowKind.CALLBACK)
    for migration in definition.migrations.values():  # what was kept for a status that is no more, of a run that has ended
        for callback in definition.callbacks.get(migration.to_key, ()):
            name = f"{migration.from_key}-callback-{callback.label}-consumer"
            yield lane(callback, callback_topic(flow, migration.from_key, callback.label), name, RowKind.CALLBACK)
    for event, hooks in definition.hooks.items():
        for hook in hooks:
            yield lane(hook, hook_topic(flow, event, hook.label), f"{event}-hook-{hook.label}-consumer", RowKind.HOOK)
    yield lane(_nothing_to_call(workflow, "publish"), event_topic(flow), "event-publisher", RowKind.EVENT)
    yield lane(definition.deletion or _erase_all(workflow), deletion_topic(flow), "delete-consumer", RowKind.DELETION)


def _nothing_to_call(workflow: Workflow[Any, Any], name: str) -> FunctionSpec:
    """Of a duty that is all the engine's own."""
    options = resolve({"polling_frequency": None}, {}, is_async=True)  # many at once: none of them waits for another
    return FunctionSpec(
        name=name, module=__name__, fn=lambda run: None, is_async=False, options=options, place=workflow.place, doc=""
    )


def _erase_all(workflow: Workflow[Any, Any]) -> DeletionSpec:
    """What is done where nobody says how an object is scrubbed: nothing of it is left."""

    def erase(run: Any) -> None:
        run.object = None

    return DeletionSpec(
        name="delete",
        module=__name__,
        fn=erase,
        is_async=False,
        options=resolve({"polling_frequency": None}, {}, is_async=False),
        place=workflow.place,
        doc="",
    )

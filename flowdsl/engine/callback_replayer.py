"""Trying a dead letter of a callback again."""

from __future__ import annotations

from collections.abc import Callable

from flowdsl.engine.burying import ACTOR, TASK
from flowdsl.engine.callbacks import CallbackOptions, Callbacks
from flowdsl.engine.core import Core
from flowdsl.engine.dead_letters import Replay
from flowdsl.errors import ConfigurationError, ConflictError
from flowdsl.model.callback_result import CallbackResult
from flowdsl.model.dead_letter import DeadLetter


class CallbackReplayer:
    """Calls back once more, for the run that its foreign id has now: the letter's own has mostly ended. However often a letter
    is replayed, it is applied once."""

    def __init__(self, core: Callable[[], Core]) -> None:
        self._core = core

    def __call__(self, letter: DeadLetter) -> Replay:
        core = self._core()
        workflow = core.workflows.get(letter.workflow)
        if workflow is None:
            raise ConfigurationError(
                f"workflow {letter.workflow!r} is not one of this engine's.",
                remedy="Use an engine that has the code of the callback.",
            )
        options: CallbackOptions = {
            "name": letter.name,
            "idempotency_key": f"replay of {letter.identity}",
            "actor": letter.headers.get(ACTOR),
        }

        def call() -> CallbackResult:
            result = Callbacks(core).apply(
                workflow, letter.foreign_id, letter.type, letter.body, task=letter.headers.get(TASK), options=options
            )
            if not result.accepted:
                raise ConflictError(
                    f"{result.outcome}: {result.detail}.",
                    run_id=result.run_id,
                    workflow=letter.workflow,
                    foreign_id=letter.foreign_id,
                    remedy="Bring the run into the status first, or drop the letter.",
                )
            return result

        return Replay(call)

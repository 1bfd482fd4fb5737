"""The engine of a simulated process: it has no threads, and runs what is ready in any order."""

from __future__ import annotations

import random
from collections.abc import Awaitable
from typing import Any

from flowdsl.clock import Clock
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.awaiting import complete_here
from flowdsl.engine.core import Core
from flowdsl.engine.executor import InlineExecutor
from flowdsl.engine.steps import Steps
from flowdsl.testing.stepped import SteppedEngine


class Shuffled(InlineExecutor):
    """Runs ready bodies in any order, as threads would; while an `async def` body is under way, only `def` ones beside it, for
    its loop is taken."""

    rng: random.Random
    on_loop = False

    def ready(self) -> bool:
        """Whether a body could begin now."""
        return bool(self._candidates())

    def _candidates(self) -> list[int]:
        return [place for place, work in enumerate(self._ready) if not (self.on_loop and work.lane.spec.is_async)]

    def complete(self, waiting: Awaitable[Any]) -> Any:
        """Beside a body that has the loop, another one serves: what was awaited here awaits nothing of it."""
        if self._loop is None or not self._loop.is_running():
            return super().complete(waiting)
        return complete_here(waiting)

    def step(self) -> bool:
        places = self._candidates()
        if not places:
            return False
        self._ready.rotate(-self.rng.choice(places))
        if self._ready[0].lane.spec.is_async:
            self.on_loop = True
            try:
                return super().step()
            finally:
                self.on_loop = False
        return super().step()


class SimulatedEngine(SteppedEngine):
    """The stepped engine, as a simulated process has it."""

    def __init__(self, *workflows: Workflow[Any, Any], turns: random.Random, **settings: Any) -> None:
        super().__init__(*workflows, **settings)
        self._turns = turns

    def _executor(self, steps: Steps, clock: Clock) -> InlineExecutor:
        shuffled = Shuffled(steps, clock)
        shuffled.rng = self._turns
        return shuffled

    @property
    def core(self) -> Core:
        return self._the_core()

    def exit(self) -> None:
        """Leave, once drained or tired of it; the ports stay open."""
        if self._stepped is not None:
            if self._stepped.reader is not None:
                self._stepped.reader.close()
            self._stepped.close()
            self._stepped = None

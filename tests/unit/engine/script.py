"""A workflow whose first step does what a test says."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.model.outcome import Outcome
from flowdsl.options import Retry, StepOptions
from flowdsl.testing.stepped import SteppedEngine


class Status(StrEnum):
    CREATED = "created"
    PAID = "paid"
    SHIPPED = "shipped"


@dataclass
class Order:
    total: float
    log: list[str] = field(default_factory=list)


Answer = Status | Outcome | None
QUICK = Retry(backoff=timedelta(seconds=1), jitter=False)


class Script:
    """A two-step workflow whose first step does what the test says, attempt by attempt; the last entry repeats."""

    def __init__(self, *charge: object, **options: object) -> None:
        self.workflow = Workflow("orders", object_type=Order, status_type=Status)
        self.script = list(charge) or [Status.PAID]
        self.keys: list[str] = []
        self.attempts: list[int] = []
        step_options: StepOptions = {"retry": QUICK, **options}  # type: ignore[typeddict-item]

        @self.workflow.step(from_=Status.CREATED, to=Status.PAID, **step_options)
        def charge_card(run: Run[Order, Status]) -> Answer:
            self.keys.append(run.idempotency_key)
            self.attempts.append(run.attempt)
            run.object.log.append(f"charge {run.attempt}")
            what = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            if isinstance(what, BaseException):
                raise what
            return what(run) if callable(what) else what  # type: ignore[return-value]

        @self.workflow.step(from_=Status.PAID, to=Status.SHIPPED, **step_options)
        async def ship(run: Run[Order, Status]) -> Status:
            run.object.log.append("ship")
            return Status.SHIPPED

    def engine(self, **settings: object) -> SteppedEngine:
        return SteppedEngine(self.workflow, **settings)  # type: ignore[arg-type]


def order_of(handle: object) -> Order:
    return handle.run().object  # type: ignore[attr-defined, no-any-return]

"""What the engine itself gives up, as dead letters; and the letters of one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from flowdsl.dsl.spec import CallbackSpec
from flowdsl.engine.kept_callback import KeptCallback
from flowdsl.model import dead_letter
from flowdsl.model.dead_letter import DeadLetter, LetterOrigin
from flowdsl.model.item import ItemKind, NewItem
from flowdsl.model.record import RunRecord
from flowdsl.ports.record_store import RecordStore

ACTOR, TASK = "actor", "task"
"""Headers of a callback's letter: who called, and under which name the function knows this piece of work."""
SCAN = 500
"""Letters that are read at once."""


def bury_callback(
    letter_id: str, spec: CallbackSpec, record: RunRecord, row_id: str, kept: KeptCallback, attempts: int, why: str, now: datetime
) -> tuple[NewItem, ...]:
    """The items of a kept callback that nobody will apply. The same row makes one letter, however often it is buried."""
    letter = DeadLetter(
        letter_id=letter_id,
        origin=LetterOrigin.CALLBACK,
        workflow=record.workflow,
        name=spec.label,
        error=why,
        attempts=attempts,
        buried_at=now,
        foreign_id=record.foreign_id,
        run_id=record.run_id,
        type=spec.from_key,
        headers={ACTOR: kept.actor, TASK: kept.task},
        identity=f"callback:{row_id}",
        body=kept.data,
    )
    return dead_letter.bury(letter)


def letters_of_run(store: RecordStore, namespace: str, run_id: str) -> Sequence[DeadLetter]:
    """The dead letters of a run, without long bodies. Raises StoreError."""
    return [letter for letter in _all(store, namespace) if letter.run_id == run_id]


def _all(store: RecordStore, namespace: str) -> Iterator[DeadLetter]:
    after = ""
    while True:
        items = store.items(namespace, ItemKind.DEAD_LETTER, after, SCAN)
        yield from map(dead_letter.read, items)
        if len(items) < SCAN:
            return
        after = items[-1].key

"""What the engine itself gives up, as dead letters; and the letters of one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from flowdsl.dsl.spec import CallbackSpec, HookSpec
from flowdsl.engine.kept_callback import KeptCallback
from flowdsl.model import dead_letter
from flowdsl.model.dead_letter import DeadLetter, LetterOrigin
from flowdsl.model.item import ItemKind, NewItem
from flowdsl.model.record import RunRecord
from flowdsl.ports.record_store import RecordStore

ACTOR, TASK = "actor", "task"
"""Headers of a callback's letter: who called, and under which name the function knows this piece of work."""
VERSION, MARK = "version", "mark"
"""Headers of a hook's letter: the version of the run that it tells of; of a failed attempt, what tells it from others of that
version."""
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


def bury_hook(
    letter_id: str,
    spec: HookSpec,
    then: RunRecord,
    error: str,
    attempts: int,
    now: datetime,
    *,
    mark: str = "",
    body: bytes = b"",
) -> tuple[NewItem, ...]:
    """The items of something that a hook was not told of. In: the run as it was; of a failed attempt, what tells it from others
    of the same version, and what it was. The same event makes one letter, however often it is buried."""
    identity = f"hook:{spec.event}:{len(spec.label)}:{spec.label}:{then.run_id}:{then.version}"
    letter = DeadLetter(
        letter_id=letter_id,
        origin=LetterOrigin.HOOK,
        workflow=then.workflow,
        name=spec.label,
        error=error,
        attempts=attempts,
        buried_at=now,
        foreign_id=then.foreign_id,
        run_id=then.run_id,
        type=spec.event,
        headers={VERSION: str(then.version), **({MARK: mark} if mark else {})},
        happened_at=then.updated_at,
        identity=f"{identity}:{mark}" if mark else identity,
        body=body,
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

"""Putting an event of a connector among the dead letters."""

from __future__ import annotations

import logging

from flowdsl.engine.connector_attempts import AttemptBook
from flowdsl.engine.control import commit_one
from flowdsl.engine.core import Core
from flowdsl.engine.event_hand import Held
from flowdsl.errors import FlowError
from flowdsl.model.change import PutItems, Refusal
from flowdsl.model.dead_letter import DeadLetter, LetterOrigin, bury
from flowdsl.model.event import ConnectorEvent

log = logging.getLogger("flowdsl.connector")


def letter_of(core: Core, workflow: str, connector: str, event: ConnectorEvent, error: str, attempts: int) -> DeadLetter:
    """The event as a letter."""
    return DeadLetter(
        letter_id=core.ids(),
        origin=LetterOrigin.CONNECTOR,
        workflow=workflow,
        name=connector,
        error=error,
        attempts=attempts,
        buried_at=core.clock.now(),
        foreign_id=event.foreign_id,
        event_id=event.event_id,
        type=event.type,
        headers=event.headers,
        happened_at=event.created_at,
        identity=f"{LetterOrigin.CONNECTOR} {len(workflow)} {len(connector)} {workflow} {connector} {event.event_id}",
        replayable=not event.problem,
        body=event.body,
    )


def bury_event(core: Core, book: AttemptBook, letter: DeadLetter, held: Held) -> bool:
    """Store the letter and forget the attempts. False: it was there before. Raises FlowError when it cannot be stored."""
    drop = (book.key(held.event),) if held.marked else ()
    change = PutItems(change_id=core.ids(), namespace=core.namespace, items=bury(letter), drop=drop)
    result = commit_one(core, change)
    if result.refusal is Refusal.BAD_DATA:
        raise FlowError(f"the store will not have the letter: {result.detail}")
    if not result.applied and held.marked:
        book.write({}, [held.event])
    return result.applied

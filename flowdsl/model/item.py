"""The generic atomic record. Whatever must commit together with a run and is not a run, a row or history is one of these."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct


class ItemKind(StrEnum):
    """What the library itself keeps as items."""

    TRIGGER_KEY = "trigger_key"
    """An idempotency key of a trigger; the body is the run id. Due when it is kept no longer."""
    AUTO_RESUME = "auto_resume"
    """When to resume a run that errors paused; the key is the run id, the body the version that paused it."""
    CALLBACK_KEY = "callback_key"
    """An idempotency key of a callback; the same."""
    HOOK = "hook"
    """A hook that some deployed code has, for processes that control runs without that code; the key is workflow, event and
    name, the body its topic."""
    RECEIPT = "receipt"
    """What was erased of a run, when and for whom; the key is the run id."""
    DEAD_LETTER = "dead_letter"
    """What was given up, without its body when that is long; the key is the letter's id. See flowdsl.model.dead_letter."""
    DEAD_LETTER_BODY = "dead_letter_body"
    """A part of a letter's body; the key is the letter's id and the part's number."""
    DEAD_LETTER_KEY = "dead_letter_key"
    """Keeps a thing from being buried twice; the key is a digest of its identity, the body the letter's id."""
    DEAD_LETTER_AUDIT = "dead_letter_audit"
    """Who did what to a dead letter; the key is what it was done to, then an id that sorts by time."""
    INSTANCE = "instance"
    """What a live instance consumes; the key is its owner, the body its topics. See flowdsl.engine.presence."""
    BULK = "bulk"
    """An operation on many runs; the key is its id and a number that grows as it goes on, the body its order and progress."""
    CONNECTOR_ATTEMPT = "connector_attempt"
    """How often an event of a connector was tried; the key is a digest of connector and event. Due when it is tried again."""
    AUDIT = "audit"
    """The audit entry of an operation; keys of newer entries come first."""

    SCHEDULED_WORKFLOW = "scheduled_workflow"
    """There are schedules of a workflow; the key is its name."""
    SCHEDULE = "schedule"
    """A schedule; its kind ends with the workflow's name. See flowdsl.model.schedule."""
    SLOT = "slot"
    """What became of a slot of a schedule, or who changed it; the same."""


class NewItem(Struct, frozen=True, kw_only=True, gc=False):
    """An item to insert. Its key must be free within (namespace, kind), or the whole change is refused."""

    kind: str
    key: str
    body: bytes = b""
    delay: timedelta | None = None
    """Due this long after the commit; None: never listed as due."""
    replace: bool = False
    """Overwrite an item of the same key instead of refusing the change."""


class ItemKey(Struct, frozen=True, gc=False):
    """Names one item of a namespace."""

    kind: str
    key: str


class Item(Struct, frozen=True, kw_only=True, gc=False):
    """An item as the store has it."""

    namespace: str
    kind: str
    key: str
    body: bytes
    due_at: datetime | None
    created_at: datetime

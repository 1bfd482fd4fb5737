"""Dead letters: what could not be handled and must not be lost, kept until somebody has seen to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec
from msgspec import Struct

from flowdsl.model.item import Item, ItemKey, ItemKind, NewItem
from flowdsl.model.limits import MAX_NOTE

INLINE = 8 * 1024
"""Bytes of a body that are kept in the letter itself: a list of letters must not read every body."""
PART = 512 * 1024
"""Bytes of one part of a longer body: an item holds no more than a payload, and a body may be longer."""


class LetterOrigin(StrEnum):
    """Where letters come from. Stored as text: newer code may know more."""

    CONNECTOR = "connector"
    HOOK = "hook"
    CALLBACK = "callback"


class DeadLetter(Struct, frozen=True, kw_only=True):
    """Something that was given up, with what is needed to try it again."""

    letter_id: str
    """Sorts by the time of burial."""
    origin: str
    """One of LetterOrigin."""
    workflow: str
    name: str
    """Of the connector, the hook, the callback."""
    error: str
    """Why it was given up: the last error."""
    attempts: int
    """How often it was tried; 0: it could not even be read."""
    buried_at: datetime
    foreign_id: str = ""
    run_id: str = ""
    event_id: str = ""
    type: str = ""
    headers: Mapping[str, str] = {}
    happened_at: datetime | None = None
    """When what it tells of happened."""
    identity: str = ""
    """What tells it apart; the same thing, given up again, is not buried twice. Empty: it always makes a letter of its own."""
    replayable: bool = True
    """False: what is kept is not enough to try it again."""
    body: bytes = b""
    """Empty in a list where it is longer than INLINE."""
    size: int = 0
    """Bytes of the body."""
    parts: int = 0
    """How many items beside the letter hold the body; 0: it is in the letter."""


def bury(letter: DeadLetter) -> tuple[NewItem, ...]:
    """The items to commit. With an identity the change that brings them is refused (KEY_TAKEN) if the letter is there already."""
    chunks = [letter.body[begin : begin + PART] for begin in range(0, len(letter.body), PART)]
    beside = len(letter.body) > INLINE
    head = msgspec.structs.replace(
        letter,
        error=_storable(letter.error)[:MAX_NOTE],
        foreign_id=_storable(letter.foreign_id),
        event_id=_storable(letter.event_id),
        type=_storable(letter.type),
        headers={_storable(name): _storable(value) for name, value in letter.headers.items()},
        body=b"" if beside else letter.body,
        size=len(letter.body),
        parts=len(chunks) if beside else 0,
    )
    items = [NewItem(kind=ItemKind.DEAD_LETTER, key=letter.letter_id, body=msgspec.json.encode(head))]
    if letter.identity:
        items.append(NewItem(kind=ItemKind.DEAD_LETTER_KEY, key=_digest(letter.identity), body=letter.letter_id.encode()))
    if beside:
        keys = body_keys(head)
        items += [NewItem(kind=ItemKind.DEAD_LETTER_BODY, key=key, body=chunk) for key, chunk in zip(keys, chunks, strict=True)]
    return tuple(items)


def unbury(letter: DeadLetter) -> tuple[ItemKey, ...]:
    """The keys of everything that `bury` made: to drop. In: the letter as it was read."""
    keys = [ItemKey(ItemKind.DEAD_LETTER, letter.letter_id)]
    if letter.identity:
        keys.append(ItemKey(ItemKind.DEAD_LETTER_KEY, _digest(letter.identity)))
    return (*keys, *(ItemKey(ItemKind.DEAD_LETTER_BODY, key) for key in body_keys(letter)))


def identity_key(identity: str) -> ItemKey:
    """The item that is there while a letter of this identity is; its body is the letter's id."""
    return ItemKey(ItemKind.DEAD_LETTER_KEY, _digest(identity))


def read(item: Item) -> DeadLetter:
    """A letter as it is listed: a long body is left beside it."""
    return msgspec.json.decode(item.body, type=DeadLetter)


def body_keys(letter: DeadLetter) -> Sequence[str]:
    """The keys of the items that hold the body, in order."""
    return [f"{letter.letter_id}/{number:06}" for number in range(letter.parts)]


def with_body(letter: DeadLetter, chunks: Iterable[bytes]) -> DeadLetter:
    """The whole letter. In: what the items of `body_keys` hold."""
    return msgspec.structs.replace(letter, body=b"".join(chunks)) if letter.parts else letter


def _digest(identity: str) -> str:
    """Identities are made of other people's ids, which may be longer than a key."""
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()


def _storable(text: str) -> str:
    """Other people's texts hold whatever they put into them; a lone surrogate is none."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()

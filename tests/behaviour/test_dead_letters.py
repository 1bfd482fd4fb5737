"""Dead letters: what was given up is kept, found, tried again and dropped, and the audit says by whom."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from flowdsl.engine.dead_letters import AioDeadLetters, DeadLetters, Replay
from flowdsl.errors import (
    BlockingCallError,
    ConfigurationError,
    DeadLetterNotFoundError,
    ReplayFailedError,
)
from flowdsl.model.change import CommitResult, PutItems, Refusal
from flowdsl.model.dead_letter import INLINE, PART, DeadLetter, LetterOrigin, bury, identity_key
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import Job, World


class Grave:
    """An engine's dead letters over a world, whose replays a test decides."""

    def __init__(self, world: World, replay: Replay | None = None) -> None:
        self.world = world
        self.engine = world.outsider(Job(world.clock).workflow)
        self.core = self.engine._the_core()
        self.replayed: list[DeadLetter] = []
        self._replay = replay or Replay(lambda: None)
        self.letters = DeadLetters(self.engine._the_core, {LetterOrigin.HOOK: self._replayer})

    def _replayer(self, letter: DeadLetter) -> Replay:
        self.replayed.append(letter)
        return self._replay

    def bury(self, **given: Any) -> DeadLetter:
        letter = self.letter(**given)
        assert self.commit(letter).applied
        return letter

    def letter(self, **given: Any) -> DeadLetter:
        fields: dict[str, Any] = {
            "letter_id": self.core.ids(),
            "origin": LetterOrigin.HOOK,
            "workflow": "jobs",
            "name": "tell",
            "error": "it failed",
            "attempts": 3,
            "buried_at": self.world.clock.now(),
        }
        self.world.clock.advance(timedelta(milliseconds=1))  # ids sort by the millisecond
        return DeadLetter(**{**fields, **given})

    def commit(self, letter: DeadLetter) -> CommitResult:
        change = PutItems(change_id=self.core.ids(), namespace="default", items=bury(letter))
        return self.world.store.commit([change])[0]

    def listed(self, **filters: Any) -> list[str]:
        return [letter.letter_id for letter in self.letters.list(**filters).letters]


@pytest.fixture
def grave(world: World) -> Grave:
    return Grave(world)


@pytest.mark.parametrize("size", [0, INLINE, INLINE + 1, 2 * PART, 2 * PART + 1])
def test_a_letter_is_kept_whole_however_long_it_is(grave: Grave, size: int) -> None:
    body = bytes(number % 251 for number in range(size))
    buried = grave.bury(body=body, headers={"a": "ä"}, foreign_id="o-1", event_id="e-1", happened_at=grave.world.clock.now())

    found = grave.letters.get(buried.letter_id)
    (listed,) = grave.letters.list().letters
    assert found.body == body
    assert (found.headers, found.foreign_id, found.event_id, found.happened_at) == ({"a": "ä"}, "o-1", "e-1", buried.happened_at)
    assert (listed.size, len(listed.body)) == (size, size if size <= INLINE else 0)


def test_nothing_is_left_of_a_letter_that_was_dropped_but_the_audit(grave: Grave) -> None:
    letter = grave.bury(body=b"x" * (PART + 1), identity="e-1")

    grave.letters.drop(letter.letter_id, "seen to", actor="ada")

    for kind in ("dead_letter", "dead_letter_body", "dead_letter_key"):
        assert list(grave.world.store.items("default", kind)) == []
    (entry,) = grave.letters.audit(letter.letter_id)
    assert (entry.action, entry.actor, entry.detail) == ("dropped", "ada", "seen to")


def test_a_thing_with_an_identity_is_buried_once(grave: Grave) -> None:
    first = grave.bury(identity="e-1")

    assert grave.commit(grave.letter(identity="e-1")).refusal is Refusal.KEY_TAKEN
    key = identity_key("e-1")
    found = grave.world.store.item("default", key.kind, key.key)
    assert found is not None
    assert found.body.decode() == first.letter_id
    grave.letters.drop(first.letter_id, "once more")
    assert grave.commit(grave.letter(identity="e-1")).applied


def test_letters_are_listed_oldest_first_in_pages_and_by_what_is_asked(grave: Grave) -> None:
    ids = [grave.bury(name=name, foreign_id=f"o-{n}").letter_id for n, name in enumerate(["a", "b", "a", "a"])]

    first = grave.letters.list(limit=3)
    assert ([letter.letter_id for letter in first.letters], first.next) == (ids[:3], ids[2])
    assert grave.letters.list(limit=3, after=first.next or "") == (grave.letters.list(limit=3, after=ids[2]).letters, None)
    assert grave.listed(name="a") == [ids[0], *ids[2:]]
    assert grave.listed(name="a", foreign_id="o-3") == [ids[3]]
    assert grave.listed(origin="callback") == []
    assert grave.letters.list(name="a", limit=3).next is None, "b is no reason to ask again"


def test_a_replay_that_succeeds_ends_the_letter(grave: Grave) -> None:
    letter = grave.bury(body=b"y" * (INLINE + 1))

    grave.letters.replay(letter.letter_id, actor="ada")

    assert [replayed.body for replayed in grave.replayed] == [letter.body]
    assert grave.listed() == []
    assert [(entry.action, entry.actor) for entry in grave.letters.audit(letter.letter_id)] == [("replayed", "ada")]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_replay_that_fails_keeps_the_letter_and_says_why(world: World, is_async: bool) -> None:
    def fail() -> None:
        raise RuntimeError("still broken")

    async def fail_async() -> None:
        fail()

    grave = Grave(world, Replay(fail_async if is_async else fail, is_async))
    letter = grave.bury()

    with pytest.raises(ReplayFailedError, match="still broken") as caught:
        grave.letters.replay(letter.letter_id)

    assert isinstance(caught.value.__cause__, RuntimeError)
    assert grave.listed() == [letter.letter_id]
    (entry,) = grave.letters.audit(letter.letter_id)
    assert (entry.action, entry.detail) == ("replayed in vain", "RuntimeError"), "its text may hold data, and outlives a deletion"


@pytest.mark.parametrize("is_async", [False, True])
def test_coroutines_have_the_same_verbs(world: World, is_async: bool) -> None:
    done: list[str] = []

    async def call() -> None:
        done.append("here")

    grave = Grave(world, Replay(call if is_async else lambda: done.append("here"), is_async))
    first, second = grave.bury(), grave.bury()

    async def use(letters: AioDeadLetters) -> None:
        assert len((await letters.list(name="tell")).letters) == 2
        assert (await letters.get(first.letter_id)).name == "tell"
        await letters.replay(first.letter_id)
        await letters.drop(second.letter_id, "no more")
        assert [entry.action for entry in await letters.audit(second.letter_id)] == ["dropped"]
        with pytest.raises(BlockingCallError, match=r"aio\.dead_letters\.replay"):
            grave.letters.replay(first.letter_id)

    asyncio.run(use(AioDeadLetters(grave.letters)))

    assert (done, grave.listed()) == (["here"], [])


def test_what_is_not_there_or_cannot_be_replayed_is_refused(grave: Grave) -> None:
    stranger = grave.bury(origin="from newer code")

    with pytest.raises(DeadLetterNotFoundError):
        grave.letters.get("nothing")
    with pytest.raises(DeadLetterNotFoundError):
        grave.letters.drop("nothing", "why")
    with pytest.raises(ConfigurationError, match="from newer code"):
        grave.letters.replay(stranger.letter_id)
    with pytest.raises(ConfigurationError, match="limit=0"):
        grave.letters.list(limit=0)
    assert grave.listed() == [stranger.letter_id]


def test_an_error_of_any_length_with_any_characters_can_be_kept(grave: Grave) -> None:
    letter = grave.bury(error="\0\udc80" + "x" * 5000)

    assert grave.letters.get(letter.letter_id).error.startswith("\0?xxx")


def test_every_engine_has_them(world: World) -> None:
    with SteppedEngine(Job(world.clock).workflow, store=world.store, clock=world.clock) as engine:
        assert engine.dead_letters.list() == ([], None)

"""Claims that nobody had an answer to: what they took comes once, with a claim that has one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from flowdsl.errors import StoreUnavailableError
from flowdsl.model.pending import ClaimedRow
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.contracts.samples import NAMESPACE, World
from flowdsl_sql.claims import Claims
from flowdsl_sql.record_store import open_store
from tests.services import SQL_DATABASES, sql_database


@pytest.fixture(params=SQL_DATABASES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with sql_database(request.param, tmp_path) as url:
        store = open_store(url, migrate=True)
        yield World(store, ManualClock(), os.urandom(4).hex())
        store.close()


def after_the_next(monkeypatch: pytest.MonkeyPatch, name: str, then: Callable[[], object]) -> None:
    """Have something happen when the next call of a method of Claims has done its work, and is about to answer."""
    real, left = getattr(Claims, name), [then]

    def replaced(claims: Claims, *arguments: Any) -> Any:
        answer = real(claims, *arguments)
        while left:
            left.pop()()
        return answer

    monkeypatch.setattr(Claims, name, replaced)


def away() -> None:
    raise StoreUnavailableError("the answer was lost.")


def test_rows_that_were_found_again_are_not_forgotten_when_the_claim_that_found_them_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, owner = world.started(), world.owner()
    for _ in range(2):
        after_the_next(monkeypatch, "_claim", away)
        with pytest.raises(StoreUnavailableError):
            world.claim(owner)

    assert [entry.row.run_id for entry in world.claim(owner)] == [run.run_id]
    assert not world.claim(owner)


def test_of_two_claims_at_once_one_brings_what_an_earlier_one_had_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run, owner = world.started(), world.owner()
    after_the_next(monkeypatch, "_claim", away)
    with pytest.raises(StoreUnavailableError):
        world.claim(owner)
    others: list[Sequence[ClaimedRow]] = []
    after_the_next(monkeypatch, "_claim", lambda: others.append(world.claim(owner)))
    after_the_next(monkeypatch, "_readable", lambda: others.append(world.store.claim_rows(NAMESPACE, owner, ["unknown"])))

    mine = world.claim(owner)

    assert len(others) == 2
    assert [entry.row.run_id for claimed in (mine, *others) for entry in claimed] == [run.run_id]

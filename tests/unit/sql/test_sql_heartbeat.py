"""A heartbeat, and threads that have every other connection."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from flowdsl.model.instance import Instance
from flowdsl.testing.contracts.samples import NAMESPACE
from flowdsl_sql import connect
from flowdsl_sql.record_store import open_store
from tests.services import sql_database

PATIENCE = 30.0


@pytest.mark.parametrize("database", ["postgresql", "mariadb"])
def test_a_heartbeat_does_not_wait_until_others_have_done_with_their_connections(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "POOL_SIZE", 2)
    monkeypatch.setattr(connect, "POOL_OVERFLOW", 0)
    me, ttl = Instance(owner="me"), timedelta(seconds=30)
    with sql_database(database, tmp_path) as url:
        store = open_store(url, migrate=True)
        assert store.beat(NAMESPACE, me, ttl)
        held = [store._database.engine.raw_connection() for _ in range(2)]
        answers: list[bool] = []
        beating = threading.Thread(target=lambda: answers.append(store.beat(NAMESPACE, me, ttl)), daemon=True)
        beating.start()
        beating.join(PATIENCE)
        for connection in held:
            connection.close()
        assert answers == [True]
        beating.join(PATIENCE)
        store.close()

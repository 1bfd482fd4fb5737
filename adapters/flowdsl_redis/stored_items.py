"""Items in Redis, read: their meta data, their bodies, their keys in order and their due times are four keys for each kind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flowdsl.model.item import Item
from flowdsl_redis.server import Server
from flowdsl_redis.store_encoding import item_meta, to_datetime, to_micros

READING = "reading items"


class StoredItems:
    """In: the server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def one(self, namespace: str, kind: str, key: str) -> Item | None:
        found = self._of_keys(namespace, kind, [key])
        return found[0] if found else None

    def after(self, namespace: str, kind: str, after: str, limit: int) -> Sequence[Item]:
        name, low = self._key("k", namespace, kind), f"({after}" if after else "-"
        keys = self._server.read(READING, lambda client: client.zrangebylex(name, low, "+", 0, limit))
        return self._of_keys(namespace, kind, [key.decode() for key in keys])

    def due(self, namespace: str, kind: str, limit: int) -> Sequence[Item]:
        name, now = self._key("d", namespace, kind), to_micros(self._server.now())
        keys = self._server.read(READING, lambda client: client.zrangebyscore(name, "-inf", now, start=0, num=limit))
        return self._of_keys(namespace, kind, [key.decode() for key in keys])

    def next_due(self, namespace: str, kinds: Sequence[str]) -> datetime | None:
        def work(client: Any) -> Any:
            pipeline = client.pipeline(transaction=False)
            for kind in kinds:
                pipeline.zrange(self._key("d", namespace, kind), 0, 0, withscores=True)
            return pipeline.execute()

        dues = [int(score) for found in self._server.read(READING, work) for _, score in found]
        return to_datetime(min(dues)) if dues else None

    def _of_keys(self, namespace: str, kind: str, keys: Sequence[str]) -> list[Item]:
        if not keys:
            return []

        def work(client: Any) -> Any:
            pipeline = client.pipeline(transaction=True)
            for part in ("m", "b"):
                pipeline.hmget(self._key(part, namespace, kind), list(keys))
            return pipeline.execute()

        metas, bodies = self._server.read(READING, work)
        found: list[Item] = []
        for key, packed, body in zip(keys, metas, bodies, strict=True):
            if packed is not None:
                meta = item_meta(packed)
                due = None if meta.due is None else to_datetime(meta.due)
                created = to_datetime(meta.created)
                found.append(Item(namespace=namespace, kind=str(kind), key=key, body=body or b"", due_at=due, created_at=created))
        return found

    def _key(self, part: str, namespace: str, kind: str) -> bytes:
        return self._server.key("item", part, namespace, str(kind))

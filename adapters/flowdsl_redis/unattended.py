"""Runs that should have a row and have none: walked by run id, a page in each script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowdsl.model.pending import RowKind
from flowdsl.model.record import RunRecord
from flowdsl_redis.server import Server
from flowdsl_redis.unreadable import known_runs

LOOKING = "looking for missing rows"
PAGE = 200
"""Runs that a script looks at, at most: Redis does nothing else meanwhile."""


class Unattended:
    """Runs without a step row have an index for each status. Those without another row are found among all unfinished runs, so
    that no transition pays for what is asked once a minute.

    In: the server.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def records(
        self,
        namespace: str,
        workflow: str,
        statuses: Sequence[str],
        after: str,
        limit: int,
        kind: RowKind,
        topics: Mapping[str, Sequence[str]],
    ) -> list[RunRecord]:
        wanted = list(dict.fromkeys(statuses))
        if not wanted or limit <= 0:
            return []
        asked: list[str | int] = []
        for status in wanted:
            names = topics.get(status, ())
            asked += [status, len(names), *names]
        if kind is RowKind.STEP:
            indexes = [self._server.key("bare", namespace, workflow, status) for status in wanted]
        else:
            indexes = [self._server.key("unfinished", namespace, workflow)]
            if not after:
                self._complete(indexes[0], self._server.key("active", namespace, workflow))
        found = [record for index in indexes for record in self._walk(index, asked, after, limit, kind)]
        return sorted(found, key=lambda record: record.run_id)[:limit]

    def _walk(self, index: bytes, asked: Sequence[str | int], after: str, limit: int, kind: RowKind) -> list[RunRecord]:
        found: list[RunRecord] = []
        place: bytes | str = after
        while len(found) < limit:
            left = limit - len(found)
            answer = self._server.script(LOOKING, "unattended", index, place, left, PAGE, int(kind), *asked)
            stored = zip(answer[1::3], answer[2::3], answer[3::3], strict=True)
            found += known_runs((run_id.decode(), packed, obj) for run_id, packed, obj in stored)
            place = answer[0]
            if not place:
                break
        return found

    def _complete(self, index: bytes, active: bytes) -> None:
        """Runs that code without this index has started, during a rolling deploy say, come into it; the walk removes those that
        such code has ended."""

        def counts(client: Any) -> Any:
            return client.pipeline(transaction=True).hlen(active).zcard(index).execute()

        def add_all(client: Any) -> None:
            cursor = -1
            while cursor:
                cursor, page = client.hscan(active, max(cursor, 0), count=PAGE)
                if page:
                    client.zadd(index, dict.fromkeys(page.values(), 0))

        unfinished, listed = self._server.read(LOOKING, counts)
        if unfinished > listed:
            self._server.read(LOOKING, add_all)

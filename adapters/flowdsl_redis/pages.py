"""Pages of runs: an index of creation times is walked in chunks until a page is full."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from flowdsl.model.query import Cursor, Order, Page, RunQuery
from flowdsl.model.record import RunRecord
from flowdsl_redis.store_encoding import to_micros

CHUNK = 500
Places = Callable[[Sequence[str], int | None, int | None, bool, int, int], list[tuple[int, str]]]
"""In: the parts of the index's name, least and greatest creation time, whether from the newest, an offset, how many."""
Records = Callable[[Sequence[str]], list[RunRecord]]


def page(query: RunQuery, places: Places, records: Records) -> Page:
    found: list[RunRecord] = []
    for run_ids in _chunks(query, places):
        for record in records(run_ids):
            if not _matches(query, record):
                continue
            if len(found) == query.limit:
                last = found[-1]
                return Page(found, Cursor(last.created_at, last.run_id))
            found.append(record)
    return Page(found, None)


def _chunks(query: RunQuery, places: Places) -> Iterator[list[str]]:
    """Ids of runs that may match, in order."""
    newest = query.order is Order.NEWEST_FIRST
    low = None if query.created_after is None else to_micros(query.created_after) + 1
    high = None if query.created_before is None else to_micros(query.created_before) - 1
    place = None if query.after is None else (to_micros(query.after.created_at), query.after.run_id)
    if place is not None:
        if newest:
            high = place[0] if high is None else min(high, place[0])
        else:
            low = place[0] if low is None else max(low, place[0])

    def beyond(entry: tuple[int, str]) -> bool:
        return place is None or (entry < place if newest else entry > place)

    if query.foreign_ids:  # few runs share a foreign id: all of them, in order
        entries = {
            entry
            for foreign_id in query.foreign_ids
            for entry in places(("named", query.namespace, foreign_id), low, high, newest, 0, -1)
        }
        ordered = [run_id for _, run_id in sorted(filter(beyond, entries), reverse=newest)]
        yield from (ordered[begin : begin + CHUNK] for begin in range(0, len(ordered), CHUNK))
        return
    name = ("runs", query.namespace, *(query.workflows if len(query.workflows) == 1 else ()))
    narrow = query.statuses or query.states or len(query.workflows) > 1
    size = CHUNK if narrow else min(CHUNK, query.limit + 1)
    offset = 0
    while True:
        entries_here = places(name, low, high, newest, offset, size)
        if not entries_here:
            return
        offset += len(entries_here)
        yield [run_id for created, run_id in entries_here if beyond((created, run_id))]


def _matches(query: RunQuery, record: RunRecord) -> bool:
    return (
        (not query.workflows or record.workflow in query.workflows)
        and (not query.foreign_ids or record.foreign_id in query.foreign_ids)
        and (not query.statuses or record.status in query.statuses)
        and (not query.states or record.state in query.states)
    )

"""How long a row rests whose owner was lost with it."""

from __future__ import annotations

import hashlib
from datetime import timedelta

SECOND_LAPSE = timedelta(seconds=2)
LONGEST = timedelta(minutes=10)


def rest(row_id: str, lapses: int) -> timedelta:
    """The wait before a row is due again that was lost for the `lapses`-th time in a row.

    None after the first: what a dead process held is taken over at once. From the second on up to 2 s, doubling up to 10 min, and
    another share of it for each row: a step that kills its process, again and again, then meets other runs each time,
    instead of taking the same ones down with it until they are all given up.
    """
    if lapses < 2:
        return timedelta(0)
    longest = min(SECOND_LAPSE * 2 ** min(lapses - 2, 30), LONGEST)
    share = int(hashlib.sha1(f"{row_id}/{lapses}".encode(), usedforsecurity=False).hexdigest()[:8], 16)
    return timedelta(microseconds=longest // timedelta(microseconds=1) * share // 2**32)

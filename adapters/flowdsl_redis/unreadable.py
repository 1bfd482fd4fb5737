"""Rows that cannot be read: put off, so that they hold up nothing else.

A value that this code cannot make sense of was written by hand or by newer code. Its row is given back as a failed attempt that
is due again much later: whoever can read it by then goes on with it, and `flowdsl show` has the reason.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable

import msgspec

from flowdsl.errors import StoreError
from flowdsl.model.change import FailRow
from flowdsl.model.pending import ClaimedRow
from flowdsl.model.record import RunRecord
from flowdsl_redis.scripts import PUT_OFF
from flowdsl_redis.store_encoding import claim_of, pending_row, run_record

log = logging.getLogger("flowdsl.redis")
UNREADABLE = (msgspec.DecodeError, ValueError, TypeError, ArithmeticError)
"""What decoding a damaged value may raise."""
Claimed = tuple[bytes, bytes | None, bytes | None, bytes | None]
"""A row's record and payload, its run's record and object. The record is empty where the row is none: the payload is its id."""
Stored = tuple[str, bytes, bytes | None]
"""A run's id, record and object."""


def readable(owner: str, claimed: Iterable[Claimed]) -> tuple[list[ClaimedRow], list[FailRow]]:
    """Claimed rows with their runs, and the changes that put off those that cannot be read."""
    found: list[ClaimedRow] = []
    put_off: list[FailRow] = []
    for row, payload, run, obj in claimed:
        if not row:
            log.error("row %s is put off for %s: it is no record", (payload or b"").decode(errors="replace"), PUT_OFF)
            continue
        try:
            found.append(ClaimedRow(pending_row(row, payload), None if run is None else run_record(run, obj)))
        except UNREADABLE as error:
            row_id, run_id, delivery = claim_of(row)
            why = f"its stored values cannot be read: {type(error).__name__}: {error}"
            log.error("row %s of run %s is put off for %s: %s", row_id, run_id, PUT_OFF, why)
            put_off.append(
                FailRow(change_id=uuid.uuid4().hex, row_id=row_id, owner=owner, delivery=delivery, error=why, delay=PUT_OFF)
            )
    return found, put_off


def known_run(stored: Stored) -> RunRecord:
    """A run that somebody asked for. Raises StoreError for one that cannot be read."""
    run_id, packed, obj = stored
    try:
        return run_record(packed, obj)
    except UNREADABLE as error:
        raise StoreError(
            f"run {run_id} holds stored values that cannot be read: {type(error).__name__}: {error}.",
            remedy="They were written by hand or by a newer flowdsl: use that version.",
        ) from error


def known_runs(found: Iterable[Stored]) -> list[RunRecord]:
    """Runs that nobody asked for by name: one that cannot be read is left out."""
    runs: list[RunRecord] = []
    for stored in found:
        try:
            runs.append(known_run(stored))
        except StoreError as error:
            log.error("%s", error)
    return runs

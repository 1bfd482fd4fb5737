"""Rows that cannot be read: put off, so that they hold up nothing else.

A value that this code cannot make sense of was written by hand or by newer code. Its row is given back as a failed attempt that
is due again much later: whoever can read it by then goes on with it, and `flowdsl show` has the reason.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec

from flowdsl.errors import StoreError
from flowdsl.model.change import FailRow
from flowdsl.model.pending import ClaimedRow
from flowdsl.model.record import RunRecord
from flowdsl_sql.rows import Row, pending_row, run_record

log = logging.getLogger("flowdsl.sql")
PUT_OFF = timedelta(hours=1)
UNREADABLE = (msgspec.DecodeError, ValueError, TypeError, LookupError, ArithmeticError)
"""What decoding a damaged value may raise."""


def readable(owner: str, rows: Sequence[Row], runs: Mapping[str, Row]) -> tuple[list[ClaimedRow], list[FailRow]]:
    """Claimed rows with their runs, and the changes that put off those that cannot be read. In: the rows in order and
    those of their runs by id, as the database gave them."""
    found: list[ClaimedRow] = []
    put_off: list[FailRow] = []
    for row in rows:
        run = runs.get(row[6])
        try:
            found.append(ClaimedRow(pending_row(row), None if run is None else run_record(run)))
        except UNREADABLE as error:
            why = f"its stored values cannot be read: {type(error).__name__}: {error}"
            log.error("row %s of run %s is put off for %s: %s", row[0], row[6], PUT_OFF, why)
            put_off.append(
                FailRow(change_id=uuid.uuid4().hex, row_id=row[0], owner=owner, delivery=row[13], error=why, delay=PUT_OFF)
            )
    return found, put_off


def known_run(row: Row) -> RunRecord:
    """The run of a row that somebody asked for. Raises StoreError for one that cannot be read."""
    try:
        return run_record(row)
    except UNREADABLE as error:
        raise StoreError(
            f"run {row[0]} holds stored values that cannot be read: {type(error).__name__}: {error}.",
            remedy="They were written by hand or by a newer flowdsl: mend its row in flowdsl_run, or use that version.",
        ) from error


def known_runs(rows: Sequence[Row]) -> list[RunRecord]:
    """The runs of rows that nobody asked for by name: one that cannot be read is left out."""
    found: list[RunRecord] = []
    for row in rows:
        try:
            found.append(known_run(row))
        except StoreError as error:
            log.error("%s", error)
    return found

"""Stand-ins for the payment provider, the warehouse and the courier. They decide by the order's name alone, so that the example
always ends alike, and the provider keeps a ledger, so that a double charge would be seen."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
import zlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

LEDGER = """
    CREATE TABLE IF NOT EXISTS entry (
        id INTEGER PRIMARY KEY, what TEXT NOT NULL, key TEXT NOT NULL UNIQUE, order_id TEXT NOT NULL, cents INTEGER NOT NULL,
        UNIQUE (order_id, what)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS request (id INTEGER PRIMARY KEY, what TEXT NOT NULL, key TEXT NOT NULL) STRICT;
"""


class PaymentDeclinedError(Exception):
    """The bank said no; asking again does not help."""


class PaymentUnavailableError(Exception):
    """The provider did not answer; asking again may help."""


class DoubleBookingError(Exception):
    """The order was charged, or refunded, under another key before."""


@dataclass
class Balance:
    """What the provider's ledger adds up to. `repeated`: requests that were answered with an earlier entry."""

    charged: int
    refunded: int
    repeated: int


class Services:
    """In: the ledger's path (a SQLite file that all processes share, opened at first use), and the seconds that a call takes."""

    def __init__(self, ledger: Path, seconds: float = 0.001) -> None:
        self._ledger = ledger
        self._seconds = seconds
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def charge(self, key: str, order_id: str, cents: int, attempt: int) -> str:
        """Charge once per key, whatever happens: asked again, the provider answers with the first charge."""
        time.sleep(self._seconds)
        luck = _number(order_id)
        if luck % 100 < 4:
            raise PaymentDeclinedError("the bank declined the card")
        if luck % 7 < 2 and attempt <= 1 + luck % 3:
            raise PaymentUnavailableError("the payment provider is out of order")
        receipt = self._book("charge", key, order_id, cents)
        if luck % 11 == 0 and attempt == 1:
            raise PaymentUnavailableError("the payment provider booked the charge, but its answer was lost")
        return receipt

    def refund(self, key: str, order_id: str, cents: int) -> str:
        time.sleep(self._seconds)
        return self._book("refund", key, order_id, cents)

    def in_stock(self, sku: str, order_id: str) -> bool:
        return _number(f"{sku}/{order_id}") % 50 != 0

    async def ship(self, order_id: str) -> str:
        await asyncio.sleep(self._seconds)
        return f"parcel-{_number(order_id):08x}"

    def balance(self) -> Balance:
        with self._lock:
            rows = dict(self._open().execute("SELECT what, sum(cents) FROM entry GROUP BY what").fetchall())
            (repeated,) = self._open().execute("SELECT (SELECT count(*) FROM request) - (SELECT count(*) FROM entry)").fetchone()
        return Balance(rows.get("charge", 0), rows.get("refund", 0), repeated)

    def _book(self, what: str, key: str, order_id: str, cents: int) -> str:
        """Many processes may ask at once: the ledger decides, not what one of them remembers."""
        with self._lock:
            connection = self._open()
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO request (what, key) VALUES (?, ?)", (what, key))
                connection.execute(
                    "INSERT INTO entry (what, key, order_id, cents) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (what, key, order_id, cents),
                )
                found = connection.execute("SELECT id FROM entry WHERE key = ? AND what = ?", (key, what)).fetchone()
        if found is None:
            raise DoubleBookingError(f"order {order_id} has a {what} under another key already")
        return f"{what}-{found[0]}"

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(self._ledger, timeout=30, isolation_level=None, check_same_thread=False)
            with closing(self._connection.execute("PRAGMA journal_mode=WAL")):
                self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(LEDGER)
        return self._connection


def _number(text: str) -> int:
    """Stable over processes, unlike hash()."""
    return zlib.crc32(text.encode())

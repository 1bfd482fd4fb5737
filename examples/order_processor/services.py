"""Stand-ins for the payment provider, the warehouse and the courier. They decide by the order's name alone, so that the example
always ends alike, and the provider keeps a ledger, so that a double charge would be seen."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
import zlib
from pathlib import Path


class PaymentDeclinedError(Exception):
    """The bank said no; asking again does not help."""


class PaymentUnavailableError(Exception):
    """The provider did not answer; asking again may help."""


class Services:
    """In: the ledger's path, and how many seconds each call takes."""

    def __init__(self, ledger: Path, seconds: float = 0.001) -> None:
        self._ledger = ledger
        self._seconds = seconds
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        if ledger.exists():
            for line in ledger.read_text().splitlines():
                if line.endswith("}"):  # the last line of a killed process may be cut short
                    entry = json.loads(line)
                    self._known[entry["key"]] = entry["id"]

    def charge(self, key: str, order_id: str, amount: float, attempt: int) -> str:
        """Charge once per key, whatever happens: asked again, the provider answers with the first charge."""
        time.sleep(self._seconds)
        luck = _number(order_id)
        if luck % 100 < 4:
            raise PaymentDeclinedError("the bank declined the card")
        if luck % 7 < 2 and attempt <= 1 + luck % 3:
            raise PaymentUnavailableError("the payment provider timed out")
        return self._book("charge", key, amount)

    def refund(self, key: str, amount: float) -> str:
        time.sleep(self._seconds)
        return self._book("refund", key, amount)

    def in_stock(self, sku: str, order_id: str) -> bool:
        return _number(f"{sku}/{order_id}") % 50 != 0

    async def ship(self, order_id: str) -> None:
        await asyncio.sleep(self._seconds)

    def _book(self, what: str, key: str, amount: float) -> str:
        with self._lock:
            if key in self._known:
                return self._known[key]
            number = f"{what}-{len(self._known) + 1}"
            line = json.dumps({"key": key, "id": number, "what": what, "amount": amount})
            handle = os.open(self._ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(handle, f"{line}\n".encode())
            finally:
                os.close(handle)
            self._known[key] = number
            return number


def _number(text: str) -> int:
    """Stable over processes, unlike hash()."""
    return zlib.crc32(text.encode())

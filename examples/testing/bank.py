"""A bank for tests and for trying out: it remembers every payment."""

from __future__ import annotations


class FakeBank:
    """Pays a key once, as real ones do; without a key it pays at every call."""

    def __init__(self) -> None:
        self.payments: list[tuple[str, int]] = []
        self._receipts: dict[str, str] = {}

    def pay(self, account: str, cents: int, key: str | None = None) -> str:
        if key is not None and key in self._receipts:
            return self._receipts[key]
        self.payments.append((account, cents))
        receipt = f"receipt-{len(self.payments)}"
        if key is not None:
            self._receipts[key] = receipt
        return receipt

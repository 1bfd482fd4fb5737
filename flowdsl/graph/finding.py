"""What is wrong with a declaration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend."""

    code: str
    """Stable short name of the kind."""
    message: str
    place: str
    """File and line."""
    remedy: str

    def __str__(self) -> str:
        return f"{self.place}: [{self.code}] {self.message} {self.remedy}"

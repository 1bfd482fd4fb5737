"""What became of a run, compared with what a test expects, and said so that the difference is seen."""

from __future__ import annotations

from enum import Enum
from typing import Any

from flowdsl.engine.handle import RunHandle
from flowdsl.model.history import HistoryRow


def transitions(handle: RunHandle[Any, Any]) -> list[str]:
    """The stored texts of the statuses that the run has been in, in order; a repeat counts again, a pause does not."""
    path: list[str] = []
    for row in handle.history():
        if row.from_status is None or row.to_status != row.from_status or row.cause.value == "repeat":
            path.append(row.to_status)
    return path


def assert_transitions(handle: RunHandle[Any, Any], *expected: Enum | str) -> None:
    """Fail unless the run went through exactly these statuses. The message has its whole history, errors and reasons included."""
    wanted = [str(status.value) if isinstance(status, Enum) else status for status in expected]
    found = transitions(handle)
    if found == wanted:
        return
    lines = [f"expected: {' -> '.join(wanted)}", f"found:    {' -> '.join(found)}", "history:"]
    lines += [f"  {_line(row)}" for row in handle.history()]
    lines += [f"  waits: {row.kind.name.lower()} {row.receiver} due {row.due_at}: {row.last_error}" for row in handle.pending()]
    raise AssertionError(f"{handle.foreign_id!r} went another way.\n" + "\n".join(lines))


def _line(row: HistoryRow) -> str:
    way = row.to_status if row.from_status is None else f"{row.from_status} -> {row.to_status}"
    why = " ".join(text for text in (row.reason, row.error) if text)
    return f"v{row.version} {way} [{row.to_state.label}] by {row.cause.value} {row.name} {why}".rstrip()

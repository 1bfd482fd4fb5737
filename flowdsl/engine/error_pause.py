"""A pause that errors made, and how it is told from one that a person or a step made."""

from __future__ import annotations

import re

from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState

_REASON = re.compile(r".+ failed (once|\d+ times in a row)", re.DOTALL)


def error_pause_reason(what: str, failures: int) -> str:
    """The reason of a pause by errors. In: what failed, e.g. "step charge", and how often."""
    return f"{what} failed once" if failures == 1 else f"{what} failed {failures} times in a row"


def paused_by_errors(record: RunRecord) -> bool:
    """Whether nobody but errors paused it. The pause of a person who asked while the last attempt ran keeps the error and has the
    person's reason: that is a person's pause."""
    errors = record.state is RunState.PAUSED and record.last_error is not None
    return errors and _REASON.fullmatch(record.reason or "") is not None

"""A pause that errors made, and how it is told from one that a person or a step made."""

from __future__ import annotations

import re

from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState

_FINAL = ", with an error that is not tried again"
_REASON = re.compile(rf".+ failed (once|\d+ times in a row)({_FINAL})?", re.DOTALL)


def error_pause_reason(what: str, failures: int, *, final: bool) -> str:
    """The reason of a pause by errors. In: what failed, e.g. "step charge", how often, and whether it was with an error that
    `pause_on` names."""
    times = "once" if failures == 1 else f"{failures} times in a row"
    return f"{what} failed {times}{_FINAL if final else ''}"


def paused_by_errors(record: RunRecord) -> bool:
    """Whether nobody but errors paused it. The pause of a person who asked while the last attempt ran keeps the error and has the
    person's reason: that is a person's pause."""
    errors = record.state is RunState.PAUSED and record.last_error is not None
    return errors and _REASON.fullmatch(record.reason or "") is not None

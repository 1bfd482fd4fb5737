"""Options of a connector. It shares most of them with steps, and inherits those from the workflow's `defaults`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypedDict

from flowdsl.errors import OptionError
from flowdsl.options import ErrorTypes, Retry, StepOptions, check_error_types, check_options, error_types, resolve

DEFAULT_DEAD_LETTER_AFTER = 10
OWN, OWN_ERRORS = "dead_letter_after_err_count", "dead_letter_on"
INSTEAD = {"pause_after_err_count": OWN, "pause_on": OWN_ERRORS}


class ConnectorOptions(TypedDict, total=False):
    """Options of a connector. Durations are `timedelta`."""

    parallel_count: int | None
    """How many consumers the connector has in the whole fleet, each held by one instance at a time. None: one. 0 is refused."""
    concurrency: int | None
    """Events in the function's hands at once, per consumer. None: the library's default (10 for `def`, 100 for `async def`).
    0 is refused."""
    err_backoff: timedelta | None
    """A constant wait after a failure; 0: retry at once; None: the library's retry policy. Excludes `retry`."""
    retry: Retry | None
    """The policy of waits between attempts; None: the library's. Excludes `err_backoff`."""
    dead_letter_after_err_count: int | None
    """Give an event up at this many failures and put it among the dead letters. None and 0: never."""
    dead_letter_on: ErrorTypes | None
    """Errors that another attempt would not mend: they put the event among the dead letters at once. A class or several, as
    `except` takes them. None: no such errors."""
    consume_lag: timedelta | None
    """Handle an event only when it is at least this old. None and 0: at once."""
    lag_alert: timedelta | None
    """The age of an event beyond which the lag-alert metric is 1. 0: any age; None: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedConnectorOptions:
    """Every option with the value that counts."""

    parallel_count: int
    concurrency: int
    retry: Retry
    dead_letter_after_err_count: int
    """0: never."""
    dead_letter_on: tuple[type[Exception], ...]
    consume_lag: timedelta
    lag_alert: timedelta | None


def check_connector_options(options: Mapping[str, Any], place: str) -> None:
    """Refuse values and combinations that cannot work, naming the place. In: options as a user wrote them."""
    known = ConnectorOptions.__annotations__
    for name in options:
        if name not in known:
            remedy = f"A connector knows {', '.join(sorted(known))}."
            if name in INSTEAD:
                remedy = f"There is no run to pause: {INSTEAD[name]} gives an event up."
            raise OptionError(f"a connector has no option {name!r}.", place=place, remedy=remedy)
    check_options({name: value for name, value in options.items() if name not in INSTEAD.values()}, place)
    check_error_types(OWN_ERRORS, options.get(OWN_ERRORS), place)
    count = options.get(OWN)
    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 0):
        raise OptionError(f"{OWN}={count!r} is not a whole number of zero or more.", place=place, remedy="Give an int or None.")


def resolve_connector_options(own: ConnectorOptions, defaults: StepOptions, *, is_async: bool) -> ResolvedConnectorOptions:
    """The values that count for one connector. In: its own, and the workflow's."""
    shared: Any = {name: value for name, value in own.items() if name not in INSTEAD.values()}
    options = resolve(shared, defaults, is_async=is_async)
    return ResolvedConnectorOptions(
        parallel_count=options.parallel_count or 1,
        concurrency=options.concurrency,
        retry=options.retry,
        dead_letter_after_err_count=own.get("dead_letter_after_err_count", DEFAULT_DEAD_LETTER_AFTER) or 0,
        dead_letter_on=error_types(own.get("dead_letter_on")),
        consume_lag=options.consume_lag,
        lag_alert=options.lag_alert,
    )

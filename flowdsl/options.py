"""Options: what a step may be told beside its function. A step's own value wins over the workflow's `defaults`, which win over
the library's defaults below. Leaving an option out inherits it; None and 0 are values of their own, explained at each option."""

from __future__ import annotations

import difflib
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypedDict

from flowdsl.errors import LONGEST_WAIT, OptionError, RetryAfter

ZERO = timedelta(0)
ErrorTypes = type[Exception] | tuple[type[Exception], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How long to wait after the nth consecutive failure: `backoff * multiplier**(n-1)`, at most `cap`; with jitter a random
    part of that ("full jitter"), so that failures that began together do not return together."""

    backoff: timedelta = timedelta(seconds=1)
    multiplier: float = 2.0
    cap: timedelta = timedelta(hours=1)
    jitter: bool = True

    def __post_init__(self) -> None:
        if self.backoff < ZERO:
            raise OptionError(f"Retry(backoff={self.backoff}) is negative.", remedy="Give a timedelta of zero or more.")
        if self.multiplier < 1:
            raise OptionError(f"Retry(multiplier={self.multiplier}) shrinks.", remedy="Give 1 or more.")
        if self.cap < self.backoff:
            raise OptionError(f"Retry(cap={self.cap}) is below its backoff.", remedy="Give a cap of at least the backoff.")

    def delay(self, failures: int, rng: random.Random) -> timedelta:
        """The wait after `failures` consecutive failures (1 or more)."""
        try:
            grown = self.backoff.total_seconds() * float(self.multiplier) ** min(failures - 1, 64)
        except OverflowError:  # more than a float can hold, which is more than any cap
            grown = self.cap.total_seconds()
        whole = min(grown, self.cap.total_seconds())
        return timedelta(seconds=rng.uniform(0, whole) if self.jitter else whole)

    def wait_after(self, error: BaseException, failures: int, rng: random.Random) -> timedelta:
        """The wait after an error that is the last of so many: its own, if it says one. A class of the user's may have forgotten
        it, or changed it to what cannot be."""
        wait: object = getattr(error, "wait", None) if isinstance(error, RetryAfter) else None
        if isinstance(wait, timedelta) and ZERO <= wait <= LONGEST_WAIT:
            return wait
        return self.delay(failures, rng)


def constant_retry(wait: timedelta) -> Retry:
    """The same wait after every failure: what `err_backoff` means."""
    return Retry(backoff=wait, multiplier=1.0, cap=wait, jitter=False)


class StepOptions(TypedDict, total=False):
    """Options of a step. Durations are `timedelta`."""

    parallel_count: int | None
    """At most this many consumers in the whole fleet, each held by one instance at a time (1: strictly one).
    None: every instance consumes. 0 is refused."""
    polling_frequency: timedelta | None
    """How often to look for work that no wake-up announced. None: never. 0 is refused."""
    err_backoff: timedelta | None
    """A constant wait after a failure; 0: retry at once; None: the library's retry policy. Excludes `retry`."""
    lag_alert: timedelta | None
    """The age of an event beyond which the lag-alert metric is 1. 0: any age; None: never.
    Left out beside `consume_lag`: the inherited value plus the lag."""
    consume_lag: timedelta | None
    """Handle an event only when it is at least this old. None and 0: at once."""
    pause_after_err_count: int | None
    """Pause the run at this many consecutive failures of a step. None and 0: never."""
    pause_on: ErrorTypes | None
    """Errors that another attempt would not mend: they pause the run at once, and it is not resumed by itself. A class or
    several, as `except` takes them. None: no such errors."""
    concurrency: int | None
    """Runs in flight per consumer. None: the library's default (10 for `def`, 100 for `async def`). 0 is refused."""
    retry: Retry | None
    """The policy of waits between attempts; None: the library's. Excludes `err_backoff`."""
    time_limit: timedelta | None
    """How long a body may run; longer is a failed attempt. None: no limit. 0 is refused."""


class HookOptions(TypedDict, total=False):
    """Options of hooks, as for steps. Every instance looks after them: there is no `parallel_count`. A hook pauses no run."""

    polling_frequency: timedelta | None
    err_backoff: timedelta | None
    lag_alert: timedelta | None
    pause_after_err_count: int | None
    """A hook that is told what happened in a status that the code has no more is given up at this many failures. None and 0:
    never."""
    concurrency: int | None
    retry: Retry | None
    time_limit: timedelta | None


class SideOptions(HookOptions, total=False):
    """Options of timeouts and callbacks, as for steps. Every instance looks after them: there is no `parallel_count`."""

    pause_on: ErrorTypes | None


DEFAULT_POLLING_FREQUENCY = timedelta(milliseconds=500)
DEFAULT_LAG_ALERT = timedelta(minutes=30)
DEFAULT_PAUSE_AFTER_ERR_COUNT = 10
DEFAULT_CONCURRENCY = 10
DEFAULT_ASYNC_CONCURRENCY = 100
DEFAULT_RETRY = Retry()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedOptions:
    """Every option with the value that counts. None means off."""

    parallel_count: int | None
    polling_frequency: timedelta | None
    lag_alert: timedelta | None
    consume_lag: timedelta
    pause_after_err_count: int
    pause_on: tuple[type[Exception], ...]
    concurrency: int
    retry: Retry
    time_limit: timedelta | None


_INTEGERS = frozenset({"parallel_count", "pause_after_err_count", "concurrency"})
_DURATIONS = frozenset({"polling_frequency", "err_backoff", "lag_alert", "consume_lag", "time_limit"})
_NOT_ZERO = {
    "parallel_count": "0 consumers would never run it. Leave it out, or give None, to let every instance consume.",
    "polling_frequency": "0 would poll without a pause. Give None to rely on wake-ups alone.",
    "concurrency": "0 runs in flight would never run it. Give 1 or more.",
    "time_limit": "0 would fail every attempt. Give None for no limit.",
}


STEP_OPTIONS: Collection[str] = StepOptions.__annotations__
SIDE_OPTIONS: Collection[str] = SideOptions.__annotations__
HOOK_OPTIONS: Collection[str] = HookOptions.__annotations__


def check_options(options: Mapping[str, Any], place: str, known: Collection[str] = STEP_OPTIONS) -> None:
    """Refuse values and combinations that cannot work, naming the place. In: options as a user wrote them; those there are."""
    value: Any
    for name, value in options.items():
        if name not in known:
            raise _unknown(name, place, known)
        if value is None:
            continue
        if name in _INTEGERS and (not isinstance(value, int) or isinstance(value, bool)):
            raise OptionError(f"{name}={value!r} is not a whole number.", place=place, remedy="Give an int or None.")
        if name in _DURATIONS and not isinstance(value, timedelta):
            raise OptionError(
                f"{name}={value!r} is not a duration.", place=place, remedy=f"Give a timedelta, e.g. {name}=timedelta(seconds=5)."
            )
        if name == "pause_on":
            check_error_types(name, value, place)
        if name == "retry" and not isinstance(value, Retry):
            raise OptionError(f"retry={value!r} is not a policy.", place=place, remedy="Give flowdsl.Retry(...).")
        if (name in _INTEGERS or name in _DURATIONS) and _negative(value):
            raise OptionError(f"{name}={value!r} is negative.", place=place, remedy="Give zero or more.")
        if name in _NOT_ZERO and not value:
            raise OptionError(f"{name}={value!r}:", place=place, remedy=_NOT_ZERO[name])
    if options.get("retry") is not None and options.get("err_backoff") is not None:
        raise OptionError(
            "err_backoff and retry both say how long to wait after a failure.", place=place, remedy="Give one of them."
        )


def _unknown(name: str, place: str, known: Collection[str]) -> OptionError:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    if name in STEP_OPTIONS:
        hint = "It is for steps, and for what else moves a run. " if name in SIDE_OPTIONS else "It is for steps. "
    return OptionError(f"unknown option {name!r}.", place=place, remedy=f"{hint}Known options: {', '.join(sorted(known))}.")


def check_error_types(name: str, value: Any, place: str) -> None:
    """Refuse what `except` would not take."""
    for kind in error_types(value):
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise OptionError(
                f"{name}={value!r} has {kind!r}, which is no class of exceptions.",
                place=place,
                remedy=f"Give a class or a tuple of classes, e.g. {name}=(ValueError, PermissionError).",
            )


def error_types(value: Any) -> tuple[Any, ...]:
    """A class or several, as a tuple."""
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _negative(value: Any) -> bool:
    return bool(value < (ZERO if isinstance(value, timedelta) else 0))


def resolve_side(own: HookOptions | SideOptions, defaults: StepOptions, *, is_async: bool) -> ResolvedOptions:
    """The values that count for a timeout, callback or hook: the workflow's defaults are its own as far as they concern it."""
    inherited = defaults.copy()
    inherited.pop("parallel_count", None)
    inherited.pop("consume_lag", None)
    given: Any = own
    return resolve(given, inherited, is_async=is_async)


def resolve(own: StepOptions, defaults: StepOptions, *, is_async: bool) -> ResolvedOptions:
    """The values that count for one step."""
    merged: dict[str, Any] = {**defaults, **own}
    retry = DEFAULT_RETRY
    for layer in (own, defaults):  # the nearest layer that speaks of waiting decides, whichever of the two words it uses
        if "retry" in layer or "err_backoff" in layer:
            wait, policy = layer.get("err_backoff"), layer.get("retry")
            retry = policy if policy is not None else DEFAULT_RETRY if wait is None else constant_retry(wait)
            break
    consume_lag: timedelta = merged.get("consume_lag") or ZERO
    lag_alert: timedelta | None = merged.get("lag_alert", DEFAULT_LAG_ALERT)
    lag_is_nearer = "consume_lag" in own and "lag_alert" not in own or "consume_lag" in defaults and "lag_alert" not in defaults
    if lag_is_nearer and "lag_alert" not in own and lag_alert is not None:
        lag_alert += consume_lag
    concurrency: int | None = merged.get("concurrency")
    return ResolvedOptions(
        parallel_count=merged.get("parallel_count"),
        polling_frequency=merged.get("polling_frequency", DEFAULT_POLLING_FREQUENCY),
        lag_alert=lag_alert,
        consume_lag=consume_lag,
        pause_after_err_count=merged.get("pause_after_err_count", DEFAULT_PAUSE_AFTER_ERR_COUNT) or 0,
        pause_on=error_types(merged.get("pause_on")),
        concurrency=concurrency if concurrency is not None else DEFAULT_ASYNC_CONCURRENCY if is_async else DEFAULT_CONCURRENCY,
        retry=retry,
        time_limit=merged.get("time_limit"),
    )

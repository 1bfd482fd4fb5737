"""Options in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from flowdsl.dsl.connector_options import ResolvedConnectorOptions
from flowdsl.graph.spelling import duration_text
from flowdsl.options import ResolvedOptions, Retry


def option_words(options: ResolvedOptions, *, pauses: bool = True) -> Mapping[str, str]:
    """What counts for a function, each in a few words. `pauses`: whether failures can pause the run."""
    words = {
        "retries": retry_words(options.retry),
        "pauses after": _limit(options.pause_after_err_count, options.pause_on),
        "at once": f"{options.concurrency} a consumer",
        "consumers": "every instance" if options.parallel_count is None else f"at most {options.parallel_count}",
        "time limit": _span(options.time_limit),
        "waits before": duration_text(options.consume_lag) if options.consume_lag else "-",
    }
    if not pauses:
        del words["pauses after"]
    return words


def connector_words(options: ResolvedConnectorOptions) -> Mapping[str, str]:
    """The same for a connector, which has no run to pause: it gives events up."""
    return {
        "retries": retry_words(options.retry),
        "gives up after": _limit(options.dead_letter_after_err_count, options.dead_letter_on),
        "at once": f"{options.concurrency} a consumer",
        "consumers": f"at most {options.parallel_count}",
        "waits before": duration_text(options.consume_lag) if options.consume_lag else "-",
    }


def retry_words(retry: Retry) -> str:
    """As in: 1 s, doubling to 1 h, jitter."""
    if not retry.backoff and retry.cap == retry.backoff:
        return "at once"
    if retry.multiplier == 1 or retry.cap == retry.backoff:
        text = f"every {duration_text(retry.backoff)}"
    else:
        growth = "doubling" if retry.multiplier == 2 else f"times {retry.multiplier:g}"
        text = f"{duration_text(retry.backoff)}, {growth} to {duration_text(retry.cap)}"
    return f"{text}, jitter" if retry.jitter else text


def _limit(count: int, at_once: Sequence[type[Exception]]) -> str:
    """As in: 10 failures, one DeclinedError."""
    words = [f"{count} failures"] if count else []
    return ", ".join([*words, *(f"one {kind.__name__}" for kind in at_once)]) or "never"


def _span(span: timedelta | None) -> str:
    return "-" if span is None else duration_text(span)

"""Whatever is typed on the command line ends in an exit code that means something, and never in an error nobody expected."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowdsl.cli.exit_code import MEANINGS, ExitCode
from tests.unit.cli.conftest import Shop, shop

__all__ = ["shop"]

WORDS = st.sampled_from(
    [
        "",
        "0",
        "-1",
        "1e9",
        "orders",
        "orders/o-1",
        "new",
        "paused",
        "2026-03-01",
        "1h",
        "-",
        "--",
        "null",
        '{"total": 1}',
        "a=b",
        "\0",
    ]
)
TEXTS = WORDS | st.text(max_size=12)
OPTIONS: dict[str, list[str]] = {
    "runs": ["--workflow", "--foreign-id", "--status", "--state", "--since", "--before", "--limit", "--after", "--order"],
    "show": ["--graph", "--json"],
    "explain": ["--json"],
    "audit": ["--limit", "--after"],
    "dead-letters list": ["--origin", "--workflow", "--name", "--foreign-id", "--limit", "--after"],
    "schedules list": ["--workflow", "--removed", "--json"],
    "runs pause": ["--where", "--rate", "--reason", "--dry-run"],
    "runs cancel": ["--where", "--limit", "--reason", "--dry-run"],
    "pause": ["--reason", "--actor"],
    "retry": ["--reason"],
    "move": ["--reason", "--force"],
}
TRIGGERS = ["--object", "--status", "--key", "--priority", "--tag", "--meta", "--json"]


@st.composite
def commands(draw: st.DrawFn) -> list[str]:
    name = draw(st.sampled_from(sorted(OPTIONS)))
    words = name.split()
    for _ in range(draw(st.integers(0, 3))):
        words += [draw(st.sampled_from(OPTIONS[name])), draw(TEXTS)] if draw(st.booleans()) else [draw(TEXTS)]
    return words


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60, deadline=None)
@given(commands())
@pytest.mark.timeout(300)
def test_whatever_is_asked_about_runs_ends_in_a_code_that_means_something(shop: Shop, words: list[str]) -> None:
    done = shop.run(*words, "--store", shop.url) if "--" not in words else shop.run(*words)

    assert done.exit_code in MEANINGS, (words, done.exit_code)
    assert done.exit_code != ExitCode.INTERNAL, (words, done.output)
    assert "Traceback" not in done.output, words


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=25, deadline=None)
@given(st.text(max_size=12), st.lists(st.tuples(st.sampled_from(TRIGGERS), TEXTS), max_size=3))
@pytest.mark.timeout(300)
def test_whatever_is_triggered_ends_in_a_code_that_means_something(
    shop: Shop, foreign_id: str, options: list[tuple[str, str]]
) -> None:
    words = [word for pair in options for word in pair]
    done = shop.run("trigger", shop.target, "orders", foreign_id, *words)

    assert done.exit_code in MEANINGS, (foreign_id, words, done.exit_code)
    assert done.exit_code != ExitCode.INTERNAL, (foreign_id, words, done.output)

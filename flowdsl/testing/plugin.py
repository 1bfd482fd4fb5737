"""The pytest plugin: found by pytest through its entry point, and light, since every test run imports it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

# A failing contract should say what it compared, as a test of one's own does.
pytest.register_assert_rewrite("flowdsl.testing.contracts")
OPTION = "--flowdsl-transitions"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("flowdsl").addoption(
        OPTION, action="store_true", help="report which transitions of the workflows the tests have taken"
    )


@pytest.fixture
def flow_clock() -> Any:
    """A clock that stands still until the test moves it; engines of `flow_engine` use it."""
    from flowdsl.testing.clock import ManualClock

    return ManualClock()


@pytest.fixture
def flow_engine(flow_clock: Any) -> Iterator[Any]:
    """Makes started engines in one thread: `engine = flow_engine(orders)`. Settings as for SteppedEngine; all engines of a test
    share a store, as processes of a fleet do. They are stopped when the test ends."""
    from flowdsl.memory.record_store import MemoryRecordStore
    from flowdsl.memory.role_scheduler import MemoryRoleScheduler
    from flowdsl.testing.stepped import SteppedEngine

    store, roles, made = MemoryRecordStore(flow_clock), MemoryRoleScheduler(flow_clock), list[SteppedEngine]()

    def engine(*workflows: Any, **settings: Any) -> SteppedEngine:
        common: dict[str, Any] = {"clock": flow_clock, "store": store, "roles": roles, "seed": len(made)}
        made.append(SteppedEngine(*workflows, **{**common, **settings}).__enter__())
        return made[-1]

    yield engine
    for one in reversed(made):
        one.__exit__(None, None, None)


@pytest.fixture
def under_every_mishap() -> Any:
    """See flowdsl.testing.rehearsal.under_every_mishap."""
    from flowdsl.testing.rehearsal import under_every_mishap as rehearse

    return rehearse


# -- the transitions that tests have taken -----------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption(OPTION, default=False):
        from flowdsl.testing import coverage

        coverage.current = coverage.TransitionCoverage()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)  # a worker of pytest-xdist
    if output is not None and session.config.getoption(OPTION, default=False):
        from flowdsl.testing import coverage

        if coverage.current is not None:
            output["flowdsl_transitions"] = coverage.current.as_data()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    found = getattr(node, "workeroutput", {}).get("flowdsl_transitions")
    if found is not None:
        from flowdsl.testing import coverage

        if coverage.current is not None:
            coverage.current.add_data(found)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.getoption(OPTION, default=False):
        from flowdsl.testing import coverage

        if coverage.current is not None:
            terminalreporter.section("transitions of workflows")
            for line in coverage.current.lines():
                terminalreporter.line(line)

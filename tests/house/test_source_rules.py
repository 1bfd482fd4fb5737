"""Rules that every file of the library keeps. The lists of exceptions are reviewed: an entry has a reason, and one that is
no longer needed fails."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable

import pytest

from tests.house.source import SourceFile, called_names, everything, imports, library

GUIDANCE = 400
LONGER: dict[str, str] = {}
"""Path of a file that may be longer than the guidance: why splitting it would make it worse."""

READS_THE_CLOCK: dict[str, tuple[set[str], str]] = {
    "flowdsl/clock.py": ({"datetime.datetime.now", "time.monotonic"}, "the one place where the machine's clocks are read"),
    "adapters/flowdsl_sql/database.py": (
        {"time.time_ns", "time.sleep"},
        "SQLite's clock is the machine's, and a transaction that met a conflict is tried again after a few milliseconds",
    ),
    "adapters/flowdsl_redis/server.py": (
        {"time.sleep"},
        "what met a broken connection is tried again after a few milliseconds",
    ),
    "adapters/flowdsl_redis/role_scheduler.py": (
        {"time.sleep"},
        "a campaign that met another's is tried again after a few milliseconds",
    ),
}
"""Path of a file that may ask for the time or sleep: which of CLOCKS it uses, and why it cannot be handed a clock."""

CLOCKS = {
    f"time.{name}" for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep")
} | {"datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today", "asyncio.sleep"}

EXECUTES = {"eval", "exec", "__import__", "yaml.load", "yaml.unsafe_load", "os.system"}
DESERIALISES_CODE = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle"}


def clock_reads(file: SourceFile) -> list[str]:
    return [f"{file.path}:{line} {name}" for name, line in called_names(file) if name in CLOCKS]


def swallowing_handlers(file: SourceFile) -> list[str]:
    """Handlers that catch everything by saying nothing, or do nothing about what they caught."""
    found: list[str] = []
    for node in ast.walk(file.tree):
        if isinstance(node, ast.ExceptHandler):
            idle = all(
                isinstance(part, ast.Pass) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
                for part in node.body
            )
            if node.type is None or idle:
                found.append(f"{file.path}:{node.lineno} except")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).removeprefix("contextlib.") == "suppress":
            broad = {ast.unparse(argument) for argument in node.args} & {"Exception", "BaseException"}
            found += [f"{file.path}:{node.lineno} suppress({name})" for name in sorted(broad)]
    return found


def executions(file: SourceFile) -> list[str]:
    calls = [f"{file.path}:{line} {name}" for name, line in called_names(file) if name in EXECUTES]
    modules = [
        f"{file.path}:{found.line} {found.target}"
        for found in imports(file)
        if found.target.partition(".")[0] in DESERIALISES_CODE
    ]
    return calls + modules


def too_long(files: Iterable[SourceFile]) -> set[str]:
    return {file.path for file in files if file.lines > GUIDANCE}


def test_time_comes_from_an_injected_clock() -> None:
    allowed = {f"{path} {name}" for path, (names, _) in READS_THE_CLOCK.items() for name in names}
    reads = {f"{file.path} {name}" for file in library() for name, _ in called_names(file) if name in CLOCKS}

    assert reads - allowed == set()
    assert allowed - reads == set(), "an exception that is no longer needed"


def test_no_handler_swallows_an_error() -> None:
    assert [found for file in library() for found in swallowing_handlers(file)] == []


def test_nothing_executable_is_deserialised() -> None:
    assert [found for file in library() for found in executions(file)] == []


def test_files_stay_short() -> None:
    files = everything()

    assert too_long(files) - set(LONGER) == set()
    assert set(LONGER) - too_long(files) == set(), "an exception that is no longer needed"


@pytest.mark.parametrize(
    ("rule", "text", "found"),
    [
        (clock_reads, "import time\ntime.sleep(1)", True),
        (clock_reads, "from time import monotonic as m\nm()", True),
        (clock_reads, "from datetime import datetime\ndefault_factory = datetime.now", True),
        (clock_reads, "import datetime as dt\ndt.datetime.utcnow()", True),
        (clock_reads, "def f(clock):\n    return clock.now(), clock.monotonic()", False),
        (swallowing_handlers, "try:\n    f()\nexcept OSError:\n    pass", True),
        (swallowing_handlers, "try:\n    f()\nexcept OSError:\n    '''Fine.'''\n    ...", True),
        (swallowing_handlers, "try:\n    f()\nexcept:\n    raise", True),
        (swallowing_handlers, "import contextlib\nwith contextlib.suppress(Exception):\n    f()", True),
        (swallowing_handlers, "try:\n    f()\nexcept OSError as error:\n    log.warning('%s', error)", False),
        (executions, "import pickle", True),
        (executions, "from marshal import loads", True),
        (executions, "eval(text)", True),
        (executions, "import yaml\nyaml.load(text)", True),
        (executions, "cursor.execute(text)\nretrieval.eval_count", False),
    ],
)
def test_the_rules_find_what_they_look_for(rule: Callable[[SourceFile], list[str]], text: str, found: bool) -> None:
    file = SourceFile("flowdsl/x.py", "flowdsl.x", text, ast.parse(text))

    assert bool(rule(file)) is found

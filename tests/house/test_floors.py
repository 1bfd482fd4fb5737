"""Who may import whom: what the import contracts of the imports session do not say, and what holds at import time."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.house.source import Import, SourceFile, imports, library

GROUND = {"errors", "options", "clock", "naming", "cron", "timetable"}
ADAPTERS_MAY_SEE = GROUND | {"model", "ports"}
NO_ADAPTERS = {"flowdsl", "flowdsl_docs"}
"""The core, and what reads declarations."""

EVERYBODY = {"msgspec"}
THIRD_PARTIES = {
    "graph": {"networkx", "pydot"},
    "cron": {"croniter"},
    "dsl": {"pydantic", "attrs"},
    "engine": {"prometheus_client"},
    "cli": {"typer", "click", "rich", "prometheus_client"},
    "testing": {"pytest", "hypothesis"},
    "flowdsl_sql": {"sqlalchemy", "alembic", "psycopg", "pymysql"},
    "flowdsl_kombu": {"kombu", "botocore"},
    "flowdsl_redis": {"redis"},
    "flowdsl_kafka": {"confluent_kafka"},
    "flowdsl_etcd": {"etcd3gw", "requests"},
    "flowdsl_docs": {"typer", "sphinx", "docutils"},
}
"""Beside msgspec, what each room may import: its own library, and no driver or web framework outside an adapter."""

OPTIONAL = ("psycopg", "pymysql", "pydantic", "pydot", "kombu", "redis", "jsonschema", "starlette", "pytest", "hypothesis")


def violations(rule: Callable[[SourceFile, Import], bool]) -> list[str]:
    return [
        f"{file.path}:{found.line} imports {found.target}" for file in library() for found in imports(file) if rule(file, found)
    ]


def room(module: str) -> str:
    """`flowdsl.engine.core` is in the room engine, `flowdsl_sql.tables` in flowdsl_sql."""
    first, _, rest = module.partition(".")
    return rest.partition(".")[0] if first == "flowdsl" else first


def from_root(file: SourceFile, found: Import) -> bool:
    return file.path != "flowdsl/__init__.py" and found.module == "flowdsl"


def test_nothing_inside_imports_the_package_root() -> None:
    assert violations(from_root) == []


@pytest.mark.parametrize("text", ["from flowdsl import Engine", "import flowdsl", "from .. import naming"])
def test_an_import_of_the_root_is_seen(text: str) -> None:
    assert [from_root(file, found) for file in [engine_file(text)] for found in imports(file)] == [True]


@pytest.mark.parametrize(
    "text", ["import flowdsl.naming as naming", "from flowdsl.naming import topic", "from ..naming import topic"]
)
def test_an_import_from_a_module_is_none_of_the_root(text: str) -> None:
    assert [from_root(file, found) for file in [engine_file(text)] for found in imports(file)] == [False]


def engine_file(text: str) -> SourceFile:
    return SourceFile("flowdsl/engine/x.py", "flowdsl.engine.x", text, ast.parse(text))


def test_adapters_see_the_ports_and_what_lies_below_them_only() -> None:
    def too_high(file: SourceFile, found: Import) -> bool:
        inside = found.target.startswith("flowdsl.")
        return file.module.partition(".")[0] not in NO_ADAPTERS and inside and room(found.target) not in ADAPTERS_MAY_SEE

    assert violations(too_high) == []


def test_adapters_are_strangers_to_each_other_and_to_the_core() -> None:
    def strange(file: SourceFile, found: Import) -> bool:
        target = found.target.partition(".")[0]
        return target.startswith("flowdsl_") and target != file.module.partition(".")[0]

    assert violations(strange) == []


def test_each_room_imports_its_own_libraries_and_no_others() -> None:
    def foreign(file: SourceFile, found: Import) -> bool:
        top = found.target.partition(".")[0]
        ours = top == "flowdsl" or top.startswith("flowdsl_") or top in sys.stdlib_module_names
        return not ours and top not in EVERYBODY | THIRD_PARTIES.get(room(file.module), set())

    assert violations(foreign) == []


@pytest.mark.parametrize(
    "module", ["flowdsl", "flowdsl_sql", "flowdsl_kombu", "flowdsl_redis", "flowdsl_kafka", "flowdsl_etcd", "flowdsl_docs"]
)
def test_no_optional_dependency_is_imported_before_it_is_used(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-W", "error", "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert set(OPTIONAL) & set(done.stdout.split()) == set()

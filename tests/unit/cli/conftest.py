"""A shop whose module, engine and database belong to one test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner, Result

from flowdsl.cli.main import app
from flowdsl.engine.engine import Engine

SHOP = """
from dataclasses import dataclass
from enum import StrEnum

from flowdsl import Engine, Run, Workflow


class Status(StrEnum):
    NEW = "new"
    PAID = "paid"
    SENT = "sent"


@dataclass
class Order:
    total: float
    note: str = ""


orders = Workflow("orders", object_type=Order, status_type=Status)


@orders.step(from_=Status.NEW, to=Status.PAID)
def charge(run: Run[Order, Status]) -> Status:
    return Status.PAID


@orders.step(from_=Status.PAID, to=Status.SENT)
def send(run: Run[Order, Status]) -> Status:
    return Status.SENT


def engine() -> Engine:
    return Engine.from_url(orders, store={url!r})
"""

_numbers = count(1)


@dataclass
class Shop:
    """A module with a workflow `orders` and a function `engine`, and the command line."""

    folder: Path
    module: str
    url: str

    @property
    def target(self) -> str:
        return f"{self.module}:engine"

    def write(self, name: str, text: str) -> str:
        """Another module beside it."""
        unique = f"{name}_{self.module}"
        (self.folder / f"{unique}.py").write_text(text, "utf-8")
        return unique

    def run(self, *arguments: str, typed: str | None = None, columns: int = 200) -> Result:
        """A command of the command line, as typed."""
        return CliRunner(env={"COLUMNS": str(columns)}).invoke(app, list(arguments), input=typed, prog_name="flowdsl")

    def ask(self, *arguments: str, columns: int = 200) -> Result:
        """A command about this shop's runs, asked without its code."""
        return self.run(*arguments, "--store", self.url, columns=columns)

    def trigger(self, foreign_id: str, *more: str, total: float = 5) -> Result:
        return self.run("trigger", self.target, "orders", foreign_id, "--object", f'{{"total": {total}}}', *more)

    def loaded(self) -> ModuleType:
        return sys.modules[self.module]

    def work(self, *foreign_ids: str) -> None:
        """Let a worker finish these runs."""
        engine: Engine = self.loaded().engine()
        with engine:
            for foreign_id in foreign_ids:
                engine.latest(self.loaded().orders, foreign_id).wait()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    name = f"shop_{next(_numbers)}"
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    (tmp_path / f"{name}.py").write_text(SHOP.replace("{url!r}", repr(url)), "utf-8")
    for variable in ("FLOWDSL_STORE", "FLOWDSL_APP", "FLOWDSL_NAMESPACE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Shop(tmp_path, name, url)
    for module in [module for module in sys.modules if module.endswith(name)]:
        del sys.modules[module]

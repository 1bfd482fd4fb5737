"""The tool that keeps a store's tables, found beside the adapter that opens the store."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Protocol, cast

from flowdsl.cli.problem import UsageProblem
from flowdsl.engine.discovery import STORES, schemes


class SchemaTool(Protocol):
    """What an adapter with tables has in its module `schema`. Every function takes the store's URL."""

    def upgrade(self, url: str) -> None:
        """Make the tables or bring them up to date."""
        ...

    def upgrade_sql(self, url: str) -> str:
        """The statements that would do it on an empty database; connects to nothing."""
        ...

    def current(self, url: str) -> str | None:
        """The version of the tables; None: there are none."""
        ...

    def check(self, url: str) -> None:
        """Raises SchemaError when the tables do not fit."""
        ...


def schema_tool(url: str) -> SchemaTool:
    """The tool for a store's URL. An adapter's package answers to a scheme through its entry point; its module `schema`, if it
    has one, keeps the tables. Loaded only when asked: it brings its database library along."""
    scheme, colon, _ = url.partition(":")
    name = scheme.partition("+")[0]
    if not colon:
        raise UsageProblem(
            f"{url!r} is not a URL.", remedy=f"Write sqlite:///{url}, or a URL that begins with one of {_known()}."
        )
    points = list(entry_points(group=STORES, name=name))
    if not points:
        raise UsageProblem(f"no store answers to {scheme!r}.", remedy=f"Known: {_known()}.")
    module = f"{points[0].module.rpartition('.')[0]}.schema"
    try:
        return cast(SchemaTool, import_module(module))
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise UsageProblem(f"a {name} store has no tables to keep.") from None


def _known() -> str:
    return ", ".join(schemes(STORES))

"""`python -m examples.hooks`: three files, and what the team hears of them."""

from __future__ import annotations

import sys
from datetime import timedelta

from rich.console import Console

from examples.hooks.imports import File, build
from flowdsl.testing.stepped import SteppedEngine

FILES = (File("good.csv", 10), File("empty.csv", 0), File("damaged.csv", -1))


def main() -> int:
    console = Console()
    imports = build(tell=console.print)
    with SteppedEngine(imports) as engine:
        for file in FILES:
            engine.trigger(imports, file.name, file)
        engine.advance(timedelta(minutes=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

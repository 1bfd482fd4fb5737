"""`python -m examples.pii`: an application, its deletion, and the receipt."""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from rich.console import Console

from examples.pii.applications import Application, build
from flowdsl import Engine


def main() -> int:
    console, applications = Console(), build()
    with (
        tempfile.TemporaryDirectory() as folder,
        Engine.from_url(applications, store=f"sqlite:///{Path(folder) / 'applications.db'}") as engine,
    ):
        handle = engine.trigger(applications, "application-1", Application("Ada King", "ada@example.org", 52_000))
        console.print("before:", handle.wait(timeout=timedelta(seconds=30)).object)
        handle.delete_data("the applicant asked for it", actor="the data protection officer")
        while (receipt := handle.receipt()) is None:
            time.sleep(0.05)  # a worker does it soon
        console.print("after: ", handle.run().object)
        console.print(receipt)
    return 0


if __name__ == "__main__":
    sys.exit(main())

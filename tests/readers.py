"""The programs for which diagrams are made: Mermaid, under node, and Graphviz. `bash .ci/servers` installs both.

At home a test of what is missing is skipped; with FLOWDSL_REQUIRE_SERVICES=1, as in CI, it fails.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.services import missing

NODE = Path(__file__).parent / "node"


class Mermaid:
    """Mermaid's own parser, in a node process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", str(NODE / "parse.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def type_of(self, text: str) -> str:
        """The type of a diagram; an AssertionError with what Mermaid says about a text that is none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(text)}\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert "error" not in answer, f"{answer['error']}\n{text}"
        return str(answer["type"])

    def close(self) -> None:
        self._process.communicate(timeout=30)


@contextmanager
def own_mermaid() -> Generator[Mermaid]:
    node_module("mermaid")
    parser = Mermaid()
    try:
        yield parser
    finally:
        parser.close()


def node_module(name: str) -> Path:
    """The folder of an npm package that the tests need."""
    if shutil.which("node") is None:
        missing("node", "it is not on the PATH")
    folder = NODE / "node_modules" / name
    if not folder.exists():
        missing(f"npm package {name}", "install it with: npm ci --prefix tests/node")
    return folder


def graphviz() -> None:
    """Skips or fails the test if Graphviz is not there."""
    if shutil.which("dot") is None:
        missing("Graphviz", "its command `dot` is not on the PATH (Debian: graphviz)")


def read_by_graphviz(text: str) -> dict[str, Any]:
    """A DOT text as Graphviz lays it out; an AssertionError with what Graphviz says about a text that is none."""
    graphviz()
    done = subprocess.run(["dot", "-Tjson0"], input=text.encode(), capture_output=True, check=False)
    complaint = done.stderr.decode()
    assert (done.returncode, complaint) == (0, ""), f"{complaint}\n{text}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found

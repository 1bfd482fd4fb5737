"""The project's Python files, parsed, for the tests of the house rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class SourceFile:
    path: str
    """Relative to the root of the project, with forward slashes."""
    module: str
    """The dotted name under which it is imported once installed."""
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        return self.text.count("\n")


@dataclass(frozen=True)
class Import:
    target: str
    """The dotted name: `a.b` for `import a.b`, `a.b.c` for `from a.b import c`."""
    module: str
    """The module that is named: `a.b` in both cases."""
    line: int


def read(folder: str) -> list[SourceFile]:
    """Every Python file under a folder of the project."""
    return [_parsed(path) for path in sorted((ROOT / folder).rglob("*.py")) if "node_modules" not in path.parts]


def library() -> list[SourceFile]:
    """What is installed: the core and the adapters."""
    return [file for folder in ("flowdsl", "adapters", "docs_gen") for file in read(folder)]


def everything() -> list[SourceFile]:
    return [
        *library(),
        *(file for folder in ("docs", "examples", "benchmarks", "tests") for file in read(folder)),
        _parsed(ROOT / "noxfile.py"),
    ]


def imports(file: SourceFile) -> Iterator[Import]:
    """Every import of a file, wherever it stands, relative ones made absolute."""
    package = file.module if file.path.endswith("/__init__.py") else file.module.rpartition(".")[0]
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            yield from (Import(f"{base}.{alias.name}", base, node.lineno) for alias in node.names)


def called_names(file: SourceFile) -> Iterator[tuple[str, int]]:
    """Every name that is called or passed on, in full: `time.sleep` for `sleep` after `from time import sleep as sleep`."""
    full: dict[str, str] = {}
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Import):
            full.update({alias.asname or alias.name: alias.name for alias in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            full.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            first, dot, rest = ast.unparse(node).partition(".")
            yield full.get(first, first) + dot + rest, node.lineno


@cache
def _parsed(path: Path) -> SourceFile:
    relative = path.relative_to(ROOT).as_posix()
    parts = relative.removesuffix(".py").removesuffix("/__init__").split("/")
    if parts[0] in ("adapters", "docs_gen"):
        parts = parts[1:]
    text = path.read_text("utf-8")
    return SourceFile(relative, ".".join(parts), text, ast.parse(text, relative))


def longest(count: int = 10) -> list[SourceFile]:
    return sorted(everything(), key=lambda file: -file.lines)[:count]


if __name__ == "__main__":
    print("the longest files:", *(f"{file.lines:5}  {file.path}" for file in longest()), sep="\n")

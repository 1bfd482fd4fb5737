"""The source of users' functions, where it can be had: their syntax trees, and the comments that silence warnings.

A warning is silenced by `# flowdsl: ignore[code]`, several codes parted by commas, on its own line or in the head of the function
that it is about: from the first decorator to the first statement.
"""

from __future__ import annotations

import ast
import io
import linecache
import re
import tokenize
from functools import cached_property

from flowdsl.dsl.spec import Place

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_IGNORE = re.compile(r"#\s*flowdsl:\s*ignore\[([^\]]*)\]")


class SourceFile:
    """A file as it was when Python read it, or last looked: notebooks' cells are files too."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lines = linecache.getlines(name)

    @cached_property
    def tree(self) -> ast.Module:
        """Empty for what is no Python that this version can read."""
        try:
            return ast.parse("".join(self._lines))
        except (SyntaxError, ValueError):
            return ast.Module([], [])

    @cached_property
    def functions(self) -> dict[int, FunctionNode]:
        """By the line that Python knows them by: of the first decorator, or of `def`."""
        found = (node for node in ast.walk(self.tree) if isinstance(node, FunctionNode))
        return {_first_line(node): node for node in found}

    @cached_property
    def classes(self) -> dict[str, list[ast.ClassDef]]:
        """By name; several may share one."""
        found: dict[str, list[ast.ClassDef]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(node)
        return found

    @cached_property
    def ignored(self) -> dict[int, set[str]]:
        """The codes that a comment names, by line."""
        found: dict[int, set[str]] = {}
        if not any("flowdsl:" in line for line in self._lines):
            return found
        try:
            for token in tokenize.generate_tokens(io.StringIO("".join(self._lines)).readline):
                match = _IGNORE.search(token.string) if token.type == tokenize.COMMENT else None
                if match is not None:
                    found[token.start[0]] = {code.strip() for code in match[1].split(",") if code.strip()}
        except (tokenize.TokenError, SyntaxError):
            return found
        return found

    def silenced(self, line: int) -> set[str]:
        """The codes that are silenced at a line: there, or in the statement or the function's head of which it is the first."""
        last = self._last_lines.get(line, line)
        return set().union(*(self.ignored.get(number, ()) for number in range(line, last + 1)))

    @cached_property
    def _last_lines(self) -> dict[int, int]:
        """From the first line of functions' heads and of simple statements to the last."""
        found: dict[int, int] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, FunctionNode):
                found[_first_line(node)] = max(node.lineno, node.body[0].lineno - 1)
            elif isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr | ast.Return) and node.end_lineno is not None:
                found.setdefault(node.lineno, node.end_lineno)
        return found


class Sources:
    """Files by name, each read once."""

    def __init__(self) -> None:
        self._files: dict[str, SourceFile] = {}

    def file(self, name: str) -> SourceFile:
        if name not in self._files:
            self._files[name] = SourceFile(name)
        return self._files[name]

    def function(self, place: Place, name: str) -> FunctionNode | None:
        """The function of that name that is declared at a place. None: there is no source, or it has changed since."""
        found = self.file(place.file).functions.get(place.line)
        return found if found is not None and found.name in (name.rpartition(".")[2], "__call__") else None


def _first_line(node: FunctionNode) -> int:
    return min(node.lineno, *(decorator.lineno for decorator in node.decorator_list)) if node.decorator_list else node.lineno

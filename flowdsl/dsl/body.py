"""What a function of a workflow answers, read off its body without calling it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import ModuleType
from typing import Any, Generic, TypeVar

from flowdsl.dsl.callables import unwrapped
from flowdsl.dsl.source import FunctionNode
from flowdsl.model.outcome import OutcomeKind

StatusT = TypeVar("StatusT", bound=Enum)
_OUTCOMES = frozenset(kind.value for kind in OutcomeKind)
"""The methods of Run that make one are named like it."""


@dataclass(slots=True)
class Answers(Generic[StatusT]):
    """What was found. `statuses` and `nothing` have the lines of their `return`."""

    statuses: dict[StatusT, int] = field(default_factory=dict[StatusT, int])
    nothing: list[int] = field(default_factory=list[int])
    """Answers of None; 0 stands for the end of the body."""
    complete: bool = True
    """Whether nothing else can be answered; False when an answer comes from somewhere that was not understood."""


def answers(node: FunctionNode, fn: Any, status_type: type[StatusT]) -> Answers[StatusT]:
    """In: a function and its tree."""
    return _Reader(node, fn, status_type).read()


class _Reader(Generic[StatusT]):
    def __init__(self, node: FunctionNode, fn: Any, status_type: type[StatusT]) -> None:
        self._node = node
        self._status_type = status_type
        self._found: Answers[StatusT] = Answers()
        arguments = node.args
        self._parameters = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
        self._outside = _outside(fn)
        self._inside: dict[str, list[ast.expr | None]] = {}
        for name, value in _bindings(node):
            self._inside.setdefault(name, []).append(value)

    def read(self) -> Answers[StatusT]:
        for statement in _own(self._node):
            if isinstance(statement, ast.Return):
                if statement.value is None:
                    self._found.nothing.append(statement.lineno)
                else:
                    self._answer(statement.value, statement.lineno, frozenset())
        match _falls_through(self._node.body):
            case True:
                self._found.nothing.append(0)
            case None:
                self._found.complete = False
            case False:
                return self._found
        return self._found

    def _answer(self, value: ast.expr, line: int, seen: frozenset[str]) -> None:
        """Note every answer that an expression may be."""
        match value:
            case ast.IfExp():
                self._answer(value.body, line, seen)
                self._answer(value.orelse, line, seen)
            case ast.BoolOp():
                for part in value.values:
                    self._answer(part, line, seen)
            case ast.NamedExpr():
                self._answer(value.value, line, seen)
            case ast.Constant(value=None):
                self._found.nothing.append(line)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=made)) if (
                name in self._parameters and made in _OUTCOMES
            ):
                return
            case ast.Name(id=name) if name in self._inside and name not in self._parameters and name not in seen:
                for bound in self._inside[name]:
                    if bound is None:
                        self._found.complete = False
                    else:
                        self._answer(bound, line, seen | {name})
            case _:
                member = self._resolved(value)
                if isinstance(member, self._status_type):
                    self._found.statuses.setdefault(member, line)
                else:
                    self._found.complete = False

    def _resolved(self, value: ast.expr) -> Any:
        """The object that a dotted name, `Status("value")` or `Status["NAME"]` stands for; None: it cannot be seen. Nothing is
        called and no attribute of anything but modules and the enum is looked at."""
        match value:
            case ast.Name(id=name):
                return None if name in self._inside or name in self._parameters else self._outside.get(name)
            case ast.Attribute(value=inner, attr=name):
                owner = self._resolved(inner)
                if owner is self._status_type:
                    return self._status_type.__members__.get(name)
                return vars(owner).get(name) if isinstance(owner, ModuleType) else None
            case ast.Subscript(value=inner, slice=ast.Constant(value=str(name))):
                return self._status_type.__members__.get(name) if self._resolved(inner) is self._status_type else None
            case ast.Call(func=inner, args=[ast.Constant(value=stored)], keywords=[]):
                found = (member for member in self._status_type if member.value == stored)
                return next(found, None) if self._resolved(inner) is self._status_type else None
            case _:
                return None


def _outside(fn: Any) -> Mapping[str, Any]:
    """What names mean that the body does not bind."""
    inner = inspect.unwrap(unwrapped(fn))
    inner = getattr(inner, "__func__", inner)
    if not inspect.isfunction(inner):
        inner = type(inner).__dict__.get("__call__")
    if not inspect.isfunction(inner):
        return {}
    cells = dict(zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=False))
    return {**inner.__globals__, **{name: value for name, cell in cells.items() for value in _content(cell)}}


def _content(cell: Any) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # not bound yet
        return []


def _own(node: FunctionNode) -> Iterator[ast.AST]:
    """The nodes of a body, not those of functions and classes inside it."""
    stack: list[ast.AST] = list(node.body)
    while stack:
        found = stack.pop()
        yield found
        if not isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            stack += ast.iter_child_nodes(found)


def _bindings(node: FunctionNode) -> Iterator[tuple[str, ast.expr | None]]:
    """Every name that the body binds, with what it is bound to; None: not to an expression of its own."""
    plain: set[int] = set()
    for found in _own(node):
        targets: list[ast.expr] = []
        value: ast.expr | None = None
        if isinstance(found, ast.Assign):
            targets, value = found.targets, found.value
        elif isinstance(found, ast.AnnAssign | ast.NamedExpr):
            targets, value = [found.target], found.value
        for target in targets:
            if isinstance(target, ast.Name):
                plain.add(id(target))
                if value is not None:  # else a mere annotation
                    yield target.id, value
    for found in _own(node):
        if isinstance(found, ast.Name) and not isinstance(found.ctx, ast.Load) and id(found) not in plain:
            yield found.id, None
        elif isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield found.name, None
        elif isinstance(found, ast.alias):
            yield (found.asname or found.name).partition(".")[0], None
        elif isinstance(found, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and found.name is not None:
            yield found.name, None


def _falls_through(body: list[ast.stmt]) -> bool | None:
    """Whether the end of a body can be reached. None: it cannot be told."""
    last = body[-1]
    match last:
        case ast.Return() | ast.Raise():
            return False
        case ast.If():
            return _either(_falls_through(last.body), _falls_through(last.orelse) if last.orelse else True)
        case ast.With() | ast.AsyncWith():
            return False if _falls_through(last.body) is False else None  # it may swallow an error
        case ast.Match():
            return None  # its cases may be all there are
        case ast.Try():
            if last.finalbody and _falls_through(last.finalbody) is False:
                return False
            return _either(_falls_through(last.orelse or last.body), *(_falls_through(handler.body) for handler in last.handlers))
        case ast.While(test=ast.Constant(value=True)):
            return None if any(isinstance(node, ast.Break) for node in ast.walk(last)) else False
        case ast.Expr(value=ast.Call()):
            return None  # it may never return, as sys.exit
        case _:
            return True


def _either(*ways: bool | None) -> bool | None:
    """Over several ways: one that surely falls through is enough; one that may leaves it open."""
    return True if True in ways else None if None in ways else False

"""A user's function is looked at once, when it is declared."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from flowdsl.dsl.spec import Place


def unwrapped(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function inside any number of functools.partial."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine: `async def`, a partial of one, or an object whose __call__ is one."""
    inner = unwrapped(fn)
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(type(inner).__dict__.get("__call__"))


def is_generator(fn: Callable[..., Any]) -> bool:
    inner = unwrapped(fn)
    return inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner)


def names(fn: Callable[..., Any]) -> tuple[str, str]:
    """Module and qualified name: the identity that a later declaration replaces."""
    inner = unwrapped(fn)
    kind = type(inner)
    module = getattr(inner, "__module__", None) or kind.__module__
    return module, getattr(inner, "__qualname__", None) or kind.__qualname__


def place(fn: Callable[..., Any]) -> Place:
    """Where it is written."""
    inner = inspect.unwrap(unwrapped(fn))
    code = getattr(inner, "__code__", None) or getattr(type(inner).__dict__.get("__call__"), "__code__", None)
    if code is None:
        return Place("<unknown>", 0)
    return Place(code.co_filename, code.co_firstlineno)


def doc_line(fn: Callable[..., Any]) -> str:
    """The first line of its docstring."""
    return (inspect.getdoc(unwrapped(fn)) or "").partition("\n")[0]

"""A blocking verb on a running event loop would stop everything else on it."""

from __future__ import annotations

import asyncio

from flowdsl.errors import BlockingCallError


def refuse_on_loop(verb: str, twin: str, arguments: str = "...") -> None:
    """Raise BlockingCallError when the calling thread runs an event loop. In: what to write instead, and between the brackets."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise BlockingCallError(f"{verb} blocks, and this is a running event loop.", remedy=f"Write `await {twin}({arguments})`.")

"""The Lua scripts of the record store, each with the ground that all of them stand on."""

from __future__ import annotations

from datetime import timedelta
from importlib.resources import files
from typing import Any

from flowdsl.model.lapse import LONGEST, SECOND_LAPSE
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState, may_move

LAST = 253_402_300_799_999_999
"""The last microsecond that a datetime can tell."""
KEPT_DEPARTED = 10_000
"""Owners whose heartbeat was removed are remembered, so that a late beat is told so; the oldest are forgotten."""
KEPT_ADDED = timedelta(minutes=10)
"""How long a change that added a row is remembered, so that it is known when its answer was lost and the row is gone."""
PUT_OFF = timedelta(hours=1)
"""How long a row that cannot be read is left alone."""
PARTS = {
    "commit": ("answers", "items", "rows", "commit"),
    **{name: (name,) for name in ("claim", "beat", "free", "depth", "unattended", "purge")},
}
"""Name of a script: the files that it is made of, beside the ground."""
FOLLOWERS = (RowKind.TIMEOUT, RowKind.CALLBACK)
"""Rows that are due, or wait, as their run moves."""


def _table(states: dict[int, str]) -> str:
    return "{" + ", ".join(f"[{state}] = {value}" for state, value in states.items()) + "}"


def _constants() -> str:
    """The state table and the numbers of kinds, written as Lua: there is one list of each, and it is in the model."""
    lines = [f"local {state.name} = {int(state)}" for state in RunState]
    lines += [f"local {kind.name} = {int(kind)}" for kind in (RowKind.STEP, *FOLLOWERS)]
    lines.append(f"local FOLLOWS = {_table({int(kind): 'true' for kind in FOLLOWERS})}")
    lines.append(f"local FINISHED = {_table({int(state): 'true' for state in RunState if state.finished})}")
    lines.append(f"local STOPPED = {_table({int(state): 'true' for state in RunState if state.stopped})}")
    may = {
        int(before): _table({int(after): "true" for after in RunState if may_move(before, after)})
        for before in RunState
        if before.finished
    }
    lines.append(f"local MAY = {_table(may)}")
    lines.append(f"local LAST, KEPT_DEPARTED = {LAST}, {KEPT_DEPARTED}")
    durations = {"PUT_OFF": PUT_OFF, "KEPT_ADDED": KEPT_ADDED, "SECOND_LAPSE": SECOND_LAPSE, "LONGEST_REST": LONGEST}
    lines += [f"local {name} = {duration // timedelta(microseconds=1)}" for name, duration in durations.items()]
    return "\n".join(lines)


class Scripts:
    """In: the driver's client. Each script is sent once and then called by its digest; a server that has forgotten it, after a
    restart say, is sent it again."""

    def __init__(self, client: Any, prefix: bytes) -> None:
        folder = files("flowdsl_redis") / "lua"
        self._prefix = prefix
        self._scripts = {
            name: client.register_script(
                "\n".join([_constants(), *((folder / f"{part}.lua").read_text("utf-8") for part in ("ground", *parts))])
            )
            for name, parts in PARTS.items()
        }

    def run(self, name: str, *arguments: bytes | str | int) -> Any:
        """The script's answer."""
        return self._scripts[name](keys=[self._prefix], args=list(arguments))

"""Forgetting readers that are gone: Redis keeps the name of every consumer that a group has ever had."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

FORGOTTEN = timedelta(hours=1)
"""The silence after which a reader that holds nothing is gone. One that was only asleep is made again by its next read."""
FORGET = """
for _, key in ipairs(KEYS) do
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', key, ARGV[1])) do
    local name, pending, idle
    for i = 1, #consumer, 2 do
      if consumer[i] == 'name' then name = consumer[i + 1] end
      if consumer[i] == 'pending' then pending = consumer[i + 1] end
      if consumer[i] == 'idle' then idle = consumer[i + 1] end
    end
    if pending == 0 and idle > tonumber(ARGV[2]) then
      redis.call('XGROUP', 'DELCONSUMER', key, ARGV[1], name)
    end
  end
end
"""
"""That it holds nothing is looked at together with the removal, which would take with it what it holds."""


def forget(client: Any, group: bytes, keys: Iterable[bytes]) -> None:
    """In: the driver's client; the group; the streams' keys, where the group is known."""
    names = list(keys)
    client.eval(FORGET, len(names), *names, group, FORGOTTEN // timedelta(milliseconds=1))

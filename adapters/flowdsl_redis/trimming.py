"""Trimming: a stream forgets what every group has acknowledged, so that its memory stays flat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

TRIM = """
local function less(a, b)
  local am, as = string.match(a, '^(%d+)-(%d+)$')
  local bm, bs = string.match(b, '^(%d+)-(%d+)$')
  if am ~= bm then
    if #am ~= #bm then return #am < #bm end
    return am < bm
  end
  if #as ~= #bs then return #as < #bs end
  return as < bs
end
local function after(id)
  local m, s = string.match(id, '^(%d+)-(%d+)$')
  return m .. '-' .. string.format('%.0f', tonumber(s) + 1)
end
local cut = 0
for _, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 1 then
    local least
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', key)) do
      local name, last
      for i = 1, #group, 2 do
        if group[i] == 'name' then name = group[i + 1] end
        if group[i] == 'last-delivered-id' then last = group[i + 1] end
      end
      local pending = redis.call('XPENDING', key, name)
      local needed = after(last)
      if pending[1] > 0 then needed = pending[2] end
      if least == nil or less(needed, least) then least = needed end
    end
    if least ~= nil then cut = cut + redis.call('XTRIM', key, 'MINID', least) end
  end
end
return cut
"""
"""For each stream: the least entry that some group has still to acknowledge, or to read; everything before it goes. Ids are
compared as decimal numbers of any length, for Lua's own numbers are not exact."""


def trim(client: Any, keys: Sequence[bytes]) -> None:
    """One round trip for all streams. In: the driver's client; the streams' keys."""
    client.eval(TRIM, len(keys), *keys)

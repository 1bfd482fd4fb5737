-- Items: meta and body by key, keys in order, due times. ARGV[4..] are the bytes that changes name by number.
local function blob(number) return number and ARGV[3 + number] or nil end
local function item_key(part, ns, kind) return key('item', part, ns, kind) end
local function load_item(ns, kind, name)
  local packed = call('HGET', item_key('m', ns, kind), name)
  return packed and unpack_one(packed) or nil
end
local function drop_item(ns, kind, name)
  call('HDEL', item_key('m', ns, kind), name)
  call('HDEL', item_key('b', ns, kind), name)
  call('ZREM', item_key('k', ns, kind), name)
  call('ZREM', item_key('d', ns, kind), name)
end
local function put_item(ns, item, change_id)
  local due = due_at(item.delay)
  call('HSET', item_key('m', ns, item.kind), item.key, pack({due = due, created = NOW, change = change_id}))
  call('HSET', item_key('b', ns, item.kind), item.key, blob(item.body))
  call('ZADD', item_key('k', ns, item.kind), 0, item.key)
  if due then
    call('ZADD', item_key('d', ns, item.kind), string.format('%.0f', due), item.key)
  else
    call('ZREM', item_key('d', ns, item.kind), item.key)
  end
end
local function taken(ns, items, dropped, change_id)
  for _, item in ipairs(items or {}) do
    local free = item.replace
    for _, gone in ipairs(dropped or {}) do
      if gone.kind == item.kind and gone.key == item.key then free = true end
    end
    if not free then
      local found = load_item(ns, item.kind, item.key)
      if found then
        if found.change == change_id then return answer('ALREADY_APPLIED') end
        return refused('KEY_TAKEN', {detail = item.key, body = call('HGET', item_key('b', ns, item.kind), item.key)})
      end
    end
  end
  return nil
end
local function is_due(ns, kind, name)
  local due = call('ZSCORE', item_key('d', ns, kind), name)
  return due and tonumber(due) <= NOW
end
local function put_items(ns, items, dropped, change_id, due_only)
  for _, gone in ipairs(dropped or {}) do
    if not due_only or is_due(ns, gone.kind, gone.key) then drop_item(ns, gone.kind, gone.key) end
  end
  for _, item in ipairs(items or {}) do put_item(ns, item, change_id) end
end

-- What every script begins with: names of keys, the time, rows and their queues. PREFIX is KEYS[1]; ARGV[1] is the time in
-- microseconds, or empty for the server's own. Numbers are microseconds and versions: all far below 2^53.
local PREFIX = KEYS[1]
local call = redis.call
local pack, unpack_one = cmsgpack.pack, cmsgpack.unpack

local function key(...) return PREFIX .. table.concat({...}, '\0') end

local NOW
if ARGV[1] ~= '' then
  NOW = tonumber(ARGV[1])
else
  local time = call('TIME')
  NOW = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local woken = {}
local function wake(row) woken[row.ns] = woken[row.ns] or {}; woken[row.ns][row.topic] = true end

-- Tell listeners, everywhere, of topics in which rows without an owner wait. `sender` hears it from the answer instead.
local function tell(sender)
  local answer = {}
  for ns, topics in pairs(woken) do
    local names = {}
    for topic in pairs(topics) do
      names[#names + 1] = topic
      answer[#answer + 1] = ns
      answer[#answer + 1] = topic
    end
    call('PUBLISH', key('wake', ns), pack({sender, unpack(names)}))
  end
  return answer
end

local function due_at(delay)
  if delay == nil then return nil end
  local due = NOW + delay
  if due < 0 then return 0 end
  if due > LAST then return LAST end
  return due
end

-- Runs: a hash of the record (m) and the object's bytes (p).
local function load_run(run_id)
  local packed = call('HGET', key('run', run_id), 'm')
  return packed and unpack_one(packed) or nil
end
-- Nothing for one that is no record: who looks through many passes over it.
local function readable_run(run_id)
  local sound, run = pcall(load_run, run_id)
  return sound and type(run) == 'table' and run or nil
end
local function save_run(run) call('HSET', key('run', run.run), 'm', pack(run)) end

-- Rows: the same. A queue is a sorted set by due time for each priority of a topic.
local function load_row(row_id)
  local packed = call('HGET', key('row', row_id), 'm')
  return packed and unpack_one(packed) or nil
end
local function save_row(row) call('HSET', key('row', row.row), 'm', pack(row)) end

local function priorities(ns, topic) return call('ZREVRANGE', key('priorities', ns, topic), 0, -1) end
local function queue(ns, topic, priority) return key('queue', ns, topic, tostring(priority)) end

local function enqueue(row)
  if row.own or not row.due then return end
  local priority = string.format('%.0f', row.pr)
  call('ZADD', queue(row.ns, row.topic, priority), string.format('%.0f', row.due), row.row)
  call('ZADD', key('priorities', row.ns, row.topic), priority, priority)
end
local function dequeue(row)
  if row.own or not row.due then return end
  local priority = string.format('%.0f', row.pr)
  local name = queue(row.ns, row.topic, priority)
  call('ZREM', name, row.row)
  if call('EXISTS', name) == 0 then call('ZREM', key('priorities', row.ns, row.topic), priority) end
end
local function own(row, owner, mark)
  dequeue(row)
  row.own = owner
  row.del = row.del + 1
  row.claim, row.mark = mark, nil
  call('SADD', key('owned', row.ns, owner), row.row)
  call('SADD', key('owners', row.ns), owner)
end
local function disown(row)
  if not row.own then return end
  local name = key('owned', row.ns, row.own)
  call('SREM', name, row.row)
  if call('EXISTS', name) == 0 then call('SREM', key('owners', row.ns), row.own) end
  row.own = nil
  row.claim = nil
end
-- Anybody may claim the row once it is due.
local function release(row)
  enqueue(row)
  if row.due then wake(row) end
end
local function remove_row(row)
  dequeue(row)
  disown(row)
  call('DEL', key('row', row.row))
  if row.kind ~= STEP then call('SREM', key('side', row.run), row.row) end
end

-- Unfinished runs that are under way and have no step row.
local function bare(run) return key('bare', run.ns, run.wf, run.st) end
local function under_way(state) return state == INITIATED or state == RUNNING end

-- Finished runs, for each state by when they ended. Code that knew nothing of this ended runs without filing them: a purge does.
local function ended(run, state) return key('ended', run.ns, run.wf, string.format('%.0f', state)) end
local function ended_at(run)
  for number = 1, run.ver do
    local packed = call('LINDEX', key('history', run.run), -number)
    local row = packed and unpack_one(packed)
    if not row then break end
    if not FINISHED[row.from_state] then return string.format('%.0f', row.at) end
  end
  return string.format('%.0f', run.up)
end
-- Under its state of now; when it ended stays.
local function file(run)
  local at
  for state in pairs(FINISHED) do
    at = call('ZSCORE', ended(run, state), run.run) or at
    call('ZREM', ended(run, state), run.run)
  end
  call('ZADD', ended(run, run.state), at or ended_at(run), run.run)
end

-- Heartbeats.
local function heartbeat(ns, owner)
  local packed = call('HGET', key('instances', ns), owner)
  return packed and unpack_one(packed) or nil
end
local function alive(ns, owner)
  local beat = heartbeat(ns, owner)
  return beat ~= nil and beat.expires > NOW
end

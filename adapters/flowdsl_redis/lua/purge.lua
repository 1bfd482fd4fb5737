-- ARGV[2]: namespace; [3]: workflow; [4]: age of runs to delete; [5]: how many at most; [6]: how many to look at in search of runs
-- that ended without being filed; [7]: how many topics follow; topics: runs with a row in one of them stay; then a state and how many
-- of its runs to pass over, which are known to stay; the next state ...
-- Answers: how many were deleted, 1 when there may be more, and for each state how many more were found that stay.
local place = {ns = ARGV[2], wf = ARGV[3]}
local limit, page = tonumber(ARGV[5]), tonumber(ARGV[6])
local too_young = '(' .. string.format('%.0f', NOW - tonumber(ARGV[4]))

-- Of a workflow and a foreign id, the run that was created last.
local function newest(run)
  local name = key('named', run.ns, run.fid)
  for first = 0, call('ZCARD', name) - 1, page do
    for _, run_id in ipairs(call('ZREVRANGE', name, first, first + page - 1)) do
      local other = readable_run(run_id)
      if other and other.wf == run.wf then return run_id end
    end
  end
  return nil
end
local function forget(run)
  local rows = call('SMEMBERS', key('side', run.run))
  rows[#rows + 1] = run.run
  for _, row_id in ipairs(rows) do
    local sound, row = pcall(load_row, row_id)
    if sound and row then remove_row(row) end
    if not sound then call('UNLINK', key('row', row_id)) end
  end
  call('UNLINK', key('side', run.run), key('history', run.run), key('run', run.run))
  call('ZREM', key('runs', run.ns), run.run)
  call('ZREM', key('runs', run.ns, run.wf), run.run)
  call('ZREM', key('named', run.ns, run.fid), run.run)
  call('ZREM', ended(run, run.state), run.run)
  local last = key('last', run.ns, run.wf)
  if call('HGET', last, run.fid) == run.run then
    local other = newest(run)
    if other then call('HSET', last, run.fid, other) else call('HDEL', last, run.fid) end
  end
end

local unless = {}
local first_state = 8 + tonumber(ARGV[7])
for number = 8, first_state - 1 do unless[ARGV[number]] = true end
local function waits(run)
  if not next(unless) then return false end
  for _, row_id in ipairs(call('SMEMBERS', key('side', run.run))) do
    local sound, row = pcall(load_row, row_id)
    if sound and row and unless[row.topic] then return true end
  end
  return false
end

local found, stay = {}, {}
for number = first_state, #ARGV, 2 do
  local state, passed = tonumber(ARGV[number]), ARGV[number + 1]
  stay[state] = 0
  local some = call('ZRANGEBYSCORE', ended(place, state), '-inf', too_young, 'WITHSCORES', 'LIMIT', passed, limit)
  for at = 1, #some, 2 do found[#found + 1] = {run = some[at], at = tonumber(some[at + 1]), state = state} end
end
table.sort(found, function(one, other) return one.at < other.at end)
local count, more = 0, #found >= limit
local function said(again)
  local answer = {count, again and 1 or 0}
  for number = first_state, #ARGV, 2 do answer[#answer + 1] = stay[tonumber(ARGV[number])] end
  return answer
end
for number = 1, math.min(limit, #found) do
  local entry = found[number]
  local run = readable_run(entry.run)
  if run and run.state == entry.state and waits(run) then
    stay[entry.state] = stay[entry.state] + 1
  elseif run and run.state == entry.state then
    forget(run)
    count = count + 1
  elseif run and FINISHED[run.state] then -- moved, by code that knew nothing of this
    file(run)
    more = true
  elseif call('EXISTS', key('run', entry.run)) == 0 then
    call('ZREM', ended(place, entry.state), entry.run)
    more = true
  else
    stay[entry.state] = stay[entry.state] + 1 -- nobody can read it
  end
end
if more then return said(true) end

-- Every run is unfinished or filed, or older code ended it: only then are all of them looked through, a page at a time.
local all, walk = key('runs', place.ns, place.wf), key('unfiled', place.ns, place.wf)
local unfiled = call('ZCARD', all) - call('HLEN', key('active', place.ns, place.wf))
for state in pairs(FINISHED) do unfiled = unfiled - call('ZCARD', ended(place, state)) end
if unfiled <= 0 then
  call('DEL', walk)
  return said(false)
end
local first, last = 0, call('GET', walk)
if last then
  last = unpack_one(last)
  local rank = call('ZRANK', all, last.run)
  first = rank and rank + 1 or call('ZCOUNT', all, '-inf', '(' .. last.at)
end
local some = call('ZRANGE', all, first, first + page - 1, 'WITHSCORES')
for at = 1, #some, 2 do
  local run = readable_run(some[at])
  if run and FINISHED[run.state] and not call('ZSCORE', ended(run, run.state), run.run) then
    file(run)
    more = true
  end
end
if #some < 2 * page then
  call('DEL', walk)
else
  call('SET', walk, pack({run = some[#some - 1], at = some[#some]}))
  more = true
end
return said(more)

-- ARGV[2]: the sender; ARGV[3]: the changes; ARGV[4..]: the bytes that they name by number (objects, bodies).
-- Answers: one {outcome, refusal, run id, state, time, detail, body, requested} per change, then whom to wake.
local function blob(number) return number and ARGV[3 + number] or nil end
local function answer(outcome, fields)
  local f = fields or {}
  return {outcome, f.refusal or '', f.run or '', f.state or -1, f.at or -1, f.detail or '', f.body or '', f.rs or -1, f.rr or '', f.ra or ''}
end
local LOST = answer('LOST')
local function refused(refusal, fields)
  local f = fields or {}
  f.refusal = refusal
  return answer('REFUSED', f)
end

-- Items: meta and body by key, keys in order, due times.
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
local function put_items(ns, items, dropped, change_id)
  for _, gone in ipairs(dropped or {}) do drop_item(ns, gone.kind, gone.key) end
  for _, item in ipairs(items or {}) do put_item(ns, item, change_id) end
end

-- Rows of runs.
local function fill(row, run, new)
  row.topic, row.ver, row.visit, row.due, row.cr, row.pr = new.topic, run.ver, run.visit, due_at(new.delay), NOW, new.pr
  row.rcv, row.del, row.att, row.lap, row.err, row.rem, row.mark, row.claim = new.rcv, 0, 0, 0, nil, nil, nil, nil
  if new.payload then
    call('HSET', key('row', row.row), 'p', blob(new.payload))
  else
    call('HDEL', key('row', row.row), 'p')
  end
  if new.own then
    row.own = nil
    local due = row.due
    row.due = nil -- it is in no queue yet
    own(row, new.own)
    row.due = due
  else
    release(row)
  end
end
local function set_step_row(run, new)
  local row = load_row(run.run)
  if not new then
    if row then remove_row(row) end
    if under_way(run.state) then call('ZADD', bare(run), 0, run.run) end
    return
  end
  if row then
    dequeue(row)
    disown(row)
  end
  row = {ns = run.ns, wf = run.wf, row = run.run, run = run.run, kind = new.kind}
  fill(row, run, new)
  save_row(row)
end
-- Nobody's any more, with a clean slate.
local function wait_until(row, due)
  dequeue(row)
  disown(row)
  row.due, row.rem, row.att, row.lap = due, nil, 0, 0
  release(row)
end
local function suspend(row)
  dequeue(row)
  row.rem = math.max(0, row.due - NOW)
  disown(row)
  row.due = nil
end
local function add_side_row(run, new)
  local old = load_row(new.row)
  if old then remove_row(old) end
  local row = {ns = run.ns, wf = run.wf, row = new.row, run = run.run, kind = new.kind}
  fill(row, run, new)
  call('SADD', key('side', run.run), new.row)
  if FOLLOWS[new.kind] and run.state == PAUSED and row.due then suspend(row) end
  save_row(row)
end
local function side_rows(run)
  local rows = {}
  for _, row_id in ipairs(call('SMEMBERS', key('side', run.run))) do rows[#rows + 1] = load_row(row_id) end
  return rows
end
-- Timeouts and kept callbacks follow their run: an arrival, a pause, a resume, the end.
local function follow(row, change, before, after)
  if row.kind == TIMEOUT and (change.new_visit or FINISHED[after.state]) then return remove_row(row) end
  local moved = true
  if row.kind == CALLBACK and FINISHED[after.state] and not FINISHED[before.state] then
    wait_until(row, NOW)
  elseif row.kind == CALLBACK and change.new_visit then
    wait_until(row, row.rcv == after.st and NOW or nil)
  else
    moved = false
  end
  if after.state == PAUSED and not row.rem and row.due then
    suspend(row)
  elseif before.state == PAUSED and after.state ~= PAUSED and row.rem then
    wait_until(row, due_at(row.rem))
  elseif not moved then
    return
  end
  save_row(row)
end
local function turn(change, before, after)
  for _, row in ipairs(side_rows(after)) do
    if FOLLOWS[row.kind] then follow(row, change, before, after) end
  end
end
-- What the run, its history and its rows say of its data is gone.
local function erase(run)
  run.rs, run.err = nil, nil
  local name = key('history', run.run)
  local rows = call('LRANGE', name, 0, -1)
  call('DEL', name)
  for _, packed in ipairs(rows) do
    local row = unpack_one(packed)
    row.reason, row.error = nil, nil
    call('RPUSH', name, pack(row))
  end
  for _, row in ipairs(side_rows(run)) do
    if row.kind == CALLBACK then
      remove_row(row)
    else
      call('HDEL', key('row', row.row), 'p')
      row.err = nil
      save_row(row)
    end
  end
end
local function log(change, run, from_status, from_state, reason, actor)
  local origin = change.origin
  call('RPUSH', key('history', run.run), pack({
    run_id = run.run, version = run.ver, from_status = from_status, to_status = run.st, from_state = from_state,
    to_state = run.state, cause = origin.cause, name = origin.name, actor = actor, reason = reason, error = origin.error,
    attempt = origin.attempt, change_id = change.id, at = NOW}))
end

local function no_start(change)
  local first = call('LINDEX', key('history', change.run), 0)
  if first then
    local was = unpack_one(first)
    if was.change_id == change.id then return answer('ALREADY_APPLIED', {state = INITIATED, at = was.at}) end
    return refused('BAD_DATA', {detail = 'a run of this run_id exists'})
  end
  local problem = taken(change.ns, change.items, nil, change.id)
  if problem then return problem end
  local other = call('HGET', key('active', change.ns, change.wf), change.fid)
  if other then return refused('IN_PROGRESS', {run = other}) end
  return nil
end
local function start(change)
  local refusal = no_start(change)
  if refusal then return refusal end
  local active = key('active', change.ns, change.wf)
  local run = {
    ns = change.ns, wf = change.wf, run = change.run, fid = change.fid, st = change.st, state = INITIATED, ver = 1, visit = 1,
    task = 1, ct = change.ct, sv = change.sv, cr = NOW, up = NOW, cid = change.id, ar = 0, md = change.md, tags = change.tags,
    par = change.par, pr = change.pr}
  save_run(run)
  if change.payload then call('HSET', key('run', run.run), 'p', blob(change.payload)) end
  call('HSET', active, change.fid, run.run)
  call('ZADD', key('unfinished', run.ns, run.wf), 0, run.run)
  call('HSET', key('last', change.ns, change.wf), change.fid, run.run)
  local created = string.format('%.0f', NOW)
  call('ZADD', key('runs', change.ns), created, run.run)
  call('ZADD', key('runs', change.ns, change.wf), created, run.run)
  call('ZADD', key('named', change.ns, change.fid), created, run.run)
  log(change, run, nil, UNKNOWN, change.origin.reason, change.origin.actor)
  put_items(change.ns, change.items, nil, change.id)
  set_step_row(run, change.row)
  for _, row in ipairs(change.side or {}) do add_side_row(run, row) end
  return answer('APPLIED', {state = INITIATED, at = NOW})
end

local function no_move(change)
  local run = load_run(change.run)
  if not run then return refused('NOT_FOUND') end
  if run.ver ~= change.ver then
    local packed = call('LINDEX', key('history', change.run), change.ver)
    local was = packed and unpack_one(packed)
    if was and was.change_id == change.id then return answer('ALREADY_APPLIED', {state = was.to_state, at = was.at}) end
    return FINISHED[run.state] and refused('FINISHED') or LOST
  end
  if FINISHED[run.state] and not (MAY[run.state] and MAY[run.state][change.state]) then return refused('FINISHED') end
  if change.unless_claimed then
    local row = load_row(change.run)
    if row and row.own then return refused('CLAIMED') end
  end
  return taken(change.ns, change.items, nil, change.id)
end
local function move(change)
  local refusal = no_move(change)
  if refusal then return refusal end
  local run = load_run(change.run)
  local state, reason, actor = change.state, change.origin.reason, change.origin.actor
  if run.rqs and change.honour and (state == RUNNING or state == PAUSED) then
    state, reason, actor = run.rqs, run.rqr, run.rqa
  end
  local stopping = state == PAUSED or state == CANCELLED
  local before = {st = run.st, state = run.state}
  if under_way(run.state) then call('ZREM', bare(run), run.run) end
  run.ver = run.ver + 1
  run.st, run.state, run.up, run.cid = change.st, state, NOW, change.id
  if change.new_visit then run.visit = run.visit + 1 end
  if change.new_task then run.task = run.ver end
  if change.payload then
    run.ct, run.sv = change.ct, change.sv
    call('HSET', key('run', run.run), 'p', blob(change.payload))
  elseif change.erase then
    run.ct, run.sv = nil, nil
    call('HDEL', key('run', run.run), 'p')
  end
  run.rs, run.ac = stopping and reason or nil, stopping and actor or nil
  run.err, run.ar = change.origin.error, change.ar
  run.rqs, run.rqr, run.rqa = nil, nil, nil
  log(change, run, before.st, before.state, reason, actor)
  if change.erase then erase(run) end -- what this very change says is in the history by now
  save_run(run)
  if FINISHED[before.state] then
    file(run)
  elseif FINISHED[state] then
    call('HDEL', key('active', run.ns, run.wf), run.fid)
    call('ZREM', key('unfinished', run.ns, run.wf), run.run)
    call('ZADD', ended(run, state), string.format('%.0f', NOW), run.run)
  end
  put_items(change.ns, change.items, change.drop, change.id)
  if change.settle then
    local row = load_row(change.settle)
    if row then remove_row(row) end
  end
  turn(change, before, run)
  local row = change.row
  if STOPPED[state] then row = nil end
  set_step_row(run, row)
  for _, side in ipairs(change.side or {}) do
    local wanted = not side.only_in or side.only_in == state
    if wanted and not (FINISHED[state] and side.kind == TIMEOUT) then add_side_row(run, side) end
  end
  return answer('APPLIED', {state = state, at = NOW})
end

-- A change is remembered for a while: its row may be gone when somebody who had no answer asks again.
local function add(change)
  local run = load_run(change.run)
  if not run then return refused('NOT_FOUND') end
  local mark = key('added', change.id)
  if call('SISMEMBER', key('side', run.run), change.row.row) == 1 or call('EXISTS', mark) == 1 then return answer('ALREADY_APPLIED') end
  if FINISHED[run.state] then return refused('FINISHED') end
  if run.ver ~= change.ver then return LOST end
  local problem = taken(change.ns, change.items, nil, change.id)
  if problem then return problem end
  put_items(change.ns, change.items, nil, change.id)
  add_side_row(run, change.row)
  call('SET', mark, '', 'EX', KEPT_ADDED)
  return answer('APPLIED')
end

local function request(change)
  local run = load_run(change.run)
  if not run then return refused('NOT_FOUND') end
  if FINISHED[run.state] then return refused('FINISHED') end
  local row = load_row(change.run)
  if not row or not row.own then return refused('NOT_CLAIMED') end
  if not run.rqs or run.rqs == PAUSED or change.state == CANCELLED then
    run.rqs, run.rqr, run.rqa = change.state, change.reason, change.actor
    save_run(run)
  end
  return answer('APPLIED')
end

-- Changes of one claim.
local function given_back(outcome, row)
  local run = load_run(row.run)
  if run and run.rqs then return answer(outcome, {rs = run.rqs, rr = run.rqr, ra = run.rqa}) end
  return answer(outcome)
end
local function of_row(change)
  local row = load_row(change.row)
  if not row then return LOST end
  if row.own ~= change.own or row.del ~= change.del or (change.ver and row.ver ~= change.ver) then
    return row.mark == change.id and given_back('ALREADY_APPLIED', row) or LOST
  end
  local result = given_back('APPLIED', row)
  disown(row)
  row.mark = change.id
  if change.k == 'fail' then
    row.att, row.err = row.att + 1, change.error
    row.due = result[8] ~= -1 and row.kind == STEP and NOW or due_at(change.delay) -- a request hastens the step alone
    release(row)
  elseif change.k == 'release' then
    row.del = math.max(0, row.del - 1)
    if change.delay then row.due = due_at(change.delay) end
    release(row)
  elseif change.k == 'park' then
    row.due = nil
  else
    remove_row(row)
    local run = load_run(row.run)
    if row.kind == STEP and run and under_way(run.state) then call('ZADD', bare(run), 0, run.run) end
    return answer('APPLIED')
  end
  save_row(row)
  if change.side then
    local run = load_run(row.run)
    for _, side in ipairs(run and change.side or {}) do add_side_row(run, side) end
  end
  return result
end

local function put(change)
  local problem = taken(change.ns, change.items, change.drop, change.id)
  if problem then return problem end
  put_items(change.ns, change.items, change.drop, change.id)
  return answer('APPLIED')
end

local HOW = {
  start = start, move = move, add = add, request = request, put = put,
  fail = of_row, release = of_row, park = of_row, drop = of_row}
-- All of these or none: nothing is applied before every one was looked at.
local function whether_together(changes)
  local CHECK, answers, refusals, done, begun = {start = no_start, move = no_move}, {}, 0, 0, {}
  for number, change in ipairs(changes) do
    local found = CHECK[change.k](change)
    if change.k == 'start' then
      local name = key(change.ns, change.wf, change.fid)
      if not found and begun[name] then found = refused('IN_PROGRESS', {run = begun[name]}) end
      begun[name] = change.run
    end
    if found then refusals = refusals + 1 end
    if found and found[1] == 'ALREADY_APPLIED' then done = done + 1 end
    answers[number] = found or LOST
  end
  if refusals == 0 then return nil end
  if done > 0 and done < #changes then
    for number, found in ipairs(answers) do if found[1] == 'ALREADY_APPLIED' then answers[number] = LOST end end
  end
  return answers
end
local results, changes = {}, unpack_one(ARGV[3])
if changes[1] and changes[1].k == 'together' then
  table.remove(changes, 1)
  local refusals = whether_together(changes)
  if refusals then return {refusals, tell(ARGV[2])} end
end
for number, change in ipairs(changes) do results[number] = HOW[change.k](change) end
return {results, tell(ARGV[2])}

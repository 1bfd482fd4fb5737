-- ARGV[2]: the sender; ARGV[3]: the changes, and whether all of them commit or none; ARGV[4..]: the bytes that they name by number
-- (objects, bodies).
-- Answers: one {outcome, refusal, run id, state, time, detail, body, requested} per change, then whom to wake.
local function log(change, run, from_status, from_state, reason, actor)
  local origin = change.origin
  call('RPUSH', key('history', run.run), pack({
    run_id = run.run, version = run.ver, from_status = from_status, to_status = run.st, from_state = from_state,
    to_state = run.state, cause = origin.cause, name = origin.name, actor = actor, reason = reason, error = origin.error,
    attempt = origin.attempt, change_id = change.id, at = NOW}))
end

-- Why a run cannot be started, or moved; nothing when it can.
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
  return other and refused('IN_PROGRESS', {run = other}) or nil
end
local function start(change)
  local problem = no_start(change)
  if problem then return problem end
  local run = {
    ns = change.ns, wf = change.wf, run = change.run, fid = change.fid, st = change.st, state = INITIATED, ver = 1, visit = 1,
    task = 1, ct = change.ct, sv = change.sv, cr = NOW, up = NOW, cid = change.id, ar = 0, md = change.md, tags = change.tags,
    par = change.par, pr = change.pr}
  save_run(run)
  if change.payload then call('HSET', key('run', run.run), 'p', blob(change.payload)) end
  call('HSET', key('active', run.ns, run.wf), run.fid, run.run)
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

local function no_move(change, run)
  if not run then return refused('NOT_FOUND') end
  if run.ver ~= change.ver then
    local packed = call('LINDEX', key('history', change.run), change.ver)
    local was = packed and unpack_one(packed)
    if was and was.change_id == change.id then return answer('ALREADY_APPLIED', {state = was.to_state, at = was.at}) end
    return FINISHED[run.state] and refused('FINISHED') or LOST
  end
  if FINISHED[run.state] and not (MAY[run.state] and MAY[run.state][change.state]) then return refused('FINISHED') end
  if change.unless_claimed and stepping(change.run) or change.unless_moving and moving(change.run) then return refused('CLAIMED') end
  return taken(change.ns, change.items, nil, change.id)
end
local function move(change)
  local run = load_run(change.run)
  local problem = no_move(change, run)
  if problem then return problem end
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
  local former = change.former and load_row(change.former)
  if change.former and (not former or former.run ~= run.run or former.own) then return LOST end
  local problem = taken(change.ns, change.items, nil, change.id)
  if problem then return problem end
  put_items(change.ns, change.items, nil, change.id)
  if former then remove_row(former) end
  add_side_row(run, change.row)
  call('SET', mark, '', 'PX', string.format('%.0f', KEPT_ADDED / 1000))
  return answer('APPLIED')
end

local function request(change)
  local run = load_run(change.run)
  if not run then return refused('NOT_FOUND') end
  if FINISHED[run.state] then return refused('FINISHED') end
  if not moving(change.run) then return refused('NOT_CLAIMED') end
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
local function requested(row)
  local run = load_run(row.run)
  return run and run.rqs and refused('REQUESTED', {rs = run.rqs, rr = run.rqr, ra = run.rqa})
end
local function of_row(change)
  local row = load_row(change.row)
  if not row then return LOST end
  if row.own ~= change.own or row.del ~= change.del or (change.ver and row.ver ~= change.ver) then
    return row.mark == change.id and given_back('ALREADY_APPLIED', row) or LOST
  end
  local waits = change.unless_requested and requested(row)
  if waits then return waits end
  local result = given_back('APPLIED', row)
  disown(row)
  row.mark = change.id
  local run = change.k == 'fail' and load_run(row.run) or nil
  local erased = run and run.state == DATA_DELETED
  if change.k == 'fail' then
    row.att, row.err = row.att + 1, not erased and change.error or nil
    local moves = row.kind == STEP or FOLLOWS[row.kind] -- a request hastens what may move the run
    row.due = result[8] ~= -1 and moves and NOW or due_at(change.delay)
    release(row)
  elseif change.k == 'release' then
    if change.delay then row.due = due_at(change.delay) end
    release(row)
  elseif change.k == 'park' then
    row.due = nil
  else
    remove_row(row)
    local run = load_run(row.run)
    if row.kind == STEP and run and under_way(run.state) then call('ZADD', bare(run), 0, run.run) end
    return result
  end
  save_row(row)
  for _, side in ipairs(run and change.side or {}) do
    if erased then side.payload = nil end
    add_side_row(run, side)
  end
  return result
end

local function put(change)
  local problem = taken(change.ns, change.items, change.drop, change.id)
  if problem then return problem end
  put_items(change.ns, change.items, change.drop, change.id, change.due_only)
  return answer('APPLIED')
end

local HOW = {
  start = start, move = move, add = add, request = request, put = put,
  fail = of_row, release = of_row, park = of_row, drop = of_row}
local function apply(changes)
  local results = {}
  for number, change in ipairs(changes) do results[number] = HOW[change.k](change) end
  return results
end
-- Starts and moves, all of them or none: nothing is applied before every one was looked at.
local function together(changes)
  local results, all, begun, put_before = {}, true, {}, {}
  for number, change in ipairs(changes) do
    local problem = change.k == 'start' and no_start(change) or change.k == 'move' and no_move(change, load_run(change.run)) or nil
    if change.k == 'start' and not problem then
      local name = table.concat({change.ns, change.wf, change.fid}, '\0')
      if begun[name] then problem = refused('IN_PROGRESS', {run = begun[name]}) end
      begun[name] = change.run
    end
    for _, item in ipairs(problem and {} or change.items or {}) do
      local name = table.concat({change.ns, item.kind, item.key}, '\0')
      if put_before[name] and not item.replace then
        problem = refused('KEY_TAKEN', {detail = item.key, body = blob(put_before[name])})
      end
      put_before[name] = item.body
    end
    results[number] = problem or LOST
    all = all and not problem
  end
  return all and apply(changes) or results
end
local asked = unpack_one(ARGV[3])
return {asked.together and together(asked.changes) or apply(asked.changes), tell(ARGV[2])}

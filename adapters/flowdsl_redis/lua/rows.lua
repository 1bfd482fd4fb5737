-- Rows of runs: how they come, wait and go with their run.
local function fill(row, run, new)
  row.topic, row.ver, row.visit, row.due, row.cr, row.pr = new.topic, run.ver, run.visit, new.due or due_at(new.delay), NOW, new.pr
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
-- Whether an owner holds a row whose function may move the run.
local function stepping(run_id)
  local row = load_row(run_id)
  return row and row.own
end
local function moving(run_id)
  if stepping(run_id) then return true end
  for _, row_id in ipairs(call('SMEMBERS', key('side', run_id))) do
    local row = load_row(row_id)
    if row and FOLLOWS[row.kind] and row.own then return true end
  end
  return false
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
-- Timeouts and kept callbacks follow their run: an arrival, a pause, a resume, the end.
local function follow(row, change, before, after)
  if row.kind == TIMEOUT and (change.new_visit or FINISHED[after.state]) then return remove_row(row) end
  local moved = row.kind == CALLBACK and not FINISHED[before.state] and (FINISHED[after.state] or change.new_visit)
  if moved then wait_until(row, (FINISHED[after.state] or row.rcv == after.st) and NOW or nil) end
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
  for _, row_id in ipairs(call('SMEMBERS', key('side', after.run))) do
    local row = load_row(row_id)
    if row and FOLLOWS[row.kind] then follow(row, change, before, after) end
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
  for _, row_id in ipairs(call('SMEMBERS', key('side', run.run))) do
    local row = load_row(row_id)
    if row and row.kind == CALLBACK then
      remove_row(row)
    elseif row then
      call('HDEL', key('row', row_id), 'p')
      row.err = nil
      save_row(row)
    end
  end
end

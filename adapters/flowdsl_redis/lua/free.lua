-- ARGV[2]: the sender; [3]: namespace; [4]: 'leave' or 'lapse'; [5..]: the owner that leaves, or owners known to be dead.
-- Answers: how many rows were freed, then whom to wake.
local ns, lapse = ARGV[3], ARGV[4] == 'lapse'
local count = 0
-- As flowdsl.model.lapse.rest has it.
local function rest(row)
  if row.lap < 2 then return 0 end
  local longest = math.min(SECOND_LAPSE * 2 ^ math.min(row.lap - 2, 30), LONGEST_REST)
  local share = tonumber(string.sub(redis.sha1hex(row.row .. '/' .. string.format('%.0f', row.lap)), 1, 8), 16)
  return math.floor(longest * share / 4294967296)
end
local function free(owner)
  for _, row_id in ipairs(call('SMEMBERS', key('owned', ns, owner))) do
    local row = load_row(row_id)
    if row then
      disown(row)
      if lapse then
        row.lap = row.lap + 1
        row.due = NOW + rest(row)
      end
      release(row)
      save_row(row)
      count = count + 1
    else
      call('SREM', key('owned', ns, owner), row_id)
    end
  end
  call('SREM', key('owners', ns), owner)
end
if not lapse then
  call('HDEL', key('instances', ns), ARGV[5])
  free(ARGV[5])
  return {count, tell(ARGV[2])}
end
local dead = {}
for number = 5, #ARGV do dead[ARGV[number]] = true end
for _, owner in ipairs(call('HKEYS', key('instances', ns))) do
  if dead[owner] or not alive(ns, owner) then
    call('HDEL', key('instances', ns), owner)
    call('ZADD', key('departed', ns), string.format('%.0f', NOW), owner)
  end
end
call('ZREMRANGEBYRANK', key('departed', ns), 0, -(KEPT_DEPARTED + 1))
for _, owner in ipairs(call('SMEMBERS', key('owners', ns))) do
  if not heartbeat(ns, owner) then free(owner) end
end
return {count, tell(ARGV[2])}

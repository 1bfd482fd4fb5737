-- ARGV[2]: namespace; [3]: owner; [4]: the claim's mark; [5]: marks of claims that nobody had an answer to, with commas between;
-- [6]: 'topics' or 'rows'; [7..]: topic, limit, topic, limit ... or row ids.
-- Answers: for each row its record, its payload, its run's record, its run's object. A row that is no record is put off by
-- PUT_OFF; its id alone comes, where its payload would be.
local ns, owner, mark = ARGV[2], ARGV[3], ARGV[4]
local answer = {}
local function give(row)
  local run = call('HMGET', key('run', row.run), 'm', 'p')
  answer[#answer + 1] = pack(row)
  answer[#answer + 1] = call('HGET', key('row', row.row), 'p')
  answer[#answer + 1] = run[1]
  answer[#answer + 1] = run[2]
end
if ARGV[5] ~= '' then
  local again, doubtful = false, {}
  for one in string.gmatch(ARGV[5], '[^,]+') do doubtful[one] = true end
  for _, row_id in ipairs(call('SMEMBERS', key('owned', ns, owner))) do
    local row = load_row(row_id)
    if row and row.claim and doubtful[row.claim] then
      give(row)
      if row.claim == mark then again = true end
    end
  end
  if again then return answer end -- this very claim had been made
end
if not alive(ns, owner) then return answer end
local function take(row)
  own(row, owner, mark)
  save_row(row)
  give(row)
end
if ARGV[6] == 'rows' then
  for number = 7, #ARGV do
    local sound, row = pcall(load_row, ARGV[number])
    if sound and row and row.ns == ns and not row.own and row.due and row.due <= NOW then take(row) end
  end
  return answer
end
for number = 7, #ARGV, 2 do
  local topic, left = ARGV[number], tonumber(ARGV[number + 1])
  for _, priority in ipairs(priorities(ns, topic)) do
    if left <= 0 then break end
    local name = queue(ns, topic, priority)
    for _, row_id in ipairs(call('ZRANGEBYSCORE', name, '-inf', string.format('%.0f', NOW), 'LIMIT', 0, left)) do
      local sound, row = pcall(load_row, row_id)
      if not sound then
        call('ZADD', name, string.format('%.0f', NOW + PUT_OFF), row_id)
        for _, part in ipairs({'', row_id, false, false}) do answer[#answer + 1] = part end
      elseif row then
        take(row)
        left = left - 1
      else
        call('ZREM', name, row_id)
      end
    end
  end
end
return answer

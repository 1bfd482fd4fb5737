-- ARGV[2]: a sorted set of run ids; [3]: the id after which to begin; [4]: how many runs to answer at most; [5]: how many to look at;
-- [6]: a kind of row; [7..]: a status, how many topics follow, those topics; the next status ...
-- Answers: the id after which to go on, empty when there are no more; then id, record and object of each run that is under way in one
-- of the statuses and has no row of this kind; where topics are given, none in one of them.
local ids, limit, page, kind = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local wanted = {}
local at = 7
while at <= #ARGV do
  local topics = {}
  for number = 1, tonumber(ARGV[at + 1]) do topics[number] = ARGV[at + 1 + number] end
  wanted[ARGV[at]] = topics
  at = at + 2 + #topics
end

local function lacks(run)
  if kind == STEP then return call('EXISTS', key('row', run.run)) == 0 end
  local topics, there = wanted[run.st], {}
  for _, row_id in ipairs(call('SMEMBERS', key('side', run.run))) do
    local sound, row = pcall(load_row, row_id)
    if not sound then return false end
    if row and row.kind == kind then
      if #topics == 0 then return false end
      there[row.topic] = true
    end
  end
  for _, topic in ipairs(topics) do
    if not there[topic] then return true end
  end
  return #topics == 0
end

local answer = {''}
local some = call('ZRANGEBYLEX', ids, ARGV[3] == '' and '-' or '(' .. ARGV[3], '+', 'LIMIT', 0, page)
for _, run_id in ipairs(some) do
  local run = readable_run(run_id)
  if run and FINISHED[run.state] then
    call('ZREM', ids, run_id) -- code that knew nothing of this ended it
  elseif run and under_way(run.state) and wanted[run.st] and lacks(run) then
    local fields = call('HMGET', key('run', run_id), 'm', 'p')
    for _, part in ipairs({run_id, fields[1], fields[2]}) do answer[#answer + 1] = part end
    if #answer > 3 * limit then
      answer[1] = run_id
      return answer
    end
  end
end
if #some == page then answer[1] = some[page] end
return answer

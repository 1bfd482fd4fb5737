-- ARGV[2]: a sorted set of run ids; [3]: the id after which to begin; [4]: how many runs to answer at most; [5]: how many to look at;
-- [6]: a kind of row; [7..]: statuses.
-- Answers: the id after which to go on, empty when there are no more; then the record and the object of each run that is under way
-- in one of the statuses and has no row of this kind.
local ids, limit, page, kind = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local wanted = {}
for number = 7, #ARGV do wanted[ARGV[number]] = true end

local function lacks(run)
  if kind == STEP then return not load_row(run.run) end
  for _, row_id in ipairs(call('SMEMBERS', key('side', run.run))) do
    local row = load_row(row_id)
    if row and row.kind == kind then return false end
  end
  return true
end

local answer = {''}
local some = call('ZRANGEBYLEX', ids, ARGV[3] == '' and '-' or '(' .. ARGV[3], '+', 'LIMIT', 0, page)
for _, run_id in ipairs(some) do
  local run = load_run(run_id)
  if not run or FINISHED[run.state] then
    call('ZREM', ids, run_id) -- code that knew nothing of this ended it
  elseif under_way(run.state) and wanted[run.st] and lacks(run) then
    local fields = call('HMGET', key('run', run_id), 'm', 'p')
    answer[#answer + 1] = fields[1]
    answer[#answer + 1] = fields[2]
    if #answer > 2 * limit then
      answer[1] = run_id
      return answer
    end
  end
end
if #some == page then answer[1] = some[page] end
return answer

-- ARGV[2]: namespace; [3..]: topics. Answers for each: how many are due, when the first of these was, how many wait, when the
-- first of all is due (-1: none).
local answer = {}
for number = 3, #ARGV do
  local due, first, waiting, next_due = 0, NOW, 0, -1
  for _, priority in ipairs(priorities(ARGV[2], ARGV[number])) do
    local name = queue(ARGV[2], ARGV[number], priority)
    local here = call('ZCOUNT', name, '-inf', string.format('%.0f', NOW))
    local head = call('ZRANGE', name, 0, 0, 'WITHSCORES')
    if #head > 0 then
      local score = tonumber(head[2])
      if here > 0 and score < first then first = score end
      if next_due == -1 or score < next_due then next_due = score end
    end
    due = due + here
    waiting = waiting + call('ZCARD', name) - here
  end
  answer[#answer + 1] = due
  answer[#answer + 1] = NOW - first
  answer[#answer + 1] = waiting
  answer[#answer + 1] = next_due
end
return answer

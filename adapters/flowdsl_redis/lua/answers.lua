-- What the commit script says of a change.
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

-- ARGV[2]: namespace; [3]: owner; [4]: the heartbeat; [5]: how long it lives. Answers 1, or 0 when it had lapsed.
local beat = heartbeat(ARGV[2], ARGV[3])
if beat and beat.expires <= NOW then return 0 end
if not beat and call('ZSCORE', key('departed', ARGV[2]), ARGV[3]) then return 0 end
beat = unpack_one(ARGV[4])
beat.expires = NOW + tonumber(ARGV[5])
call('HSET', key('instances', ARGV[2]), ARGV[3], pack(beat))
return 1

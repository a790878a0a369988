-- One step over all keys. ARGV: 3 cursor, 4 pattern, 5 about how many keys to look at.
-- Removes those that match. Gives the next cursor (0 at the end) and how many were removed.
local step = redis.call('SCAN', ARGV[3], 'MATCH', ARGV[4], 'COUNT', ARGV[5])
local removed = 0
for _, key in ipairs(step[2]) do
  removed = removed + redis.call('UNLINK', key)
end
return { step[1], removed }

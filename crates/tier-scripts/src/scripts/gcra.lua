-- The generic cell rate algorithm, as `pitchey_resilience::Gcra` has it, in µs of the server's clock.
-- ARGV: 1 key, 2 interval, 3 window (interval × burst).
-- Gives whether it may pass, what is owed then, and how long until the next may pass.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, window = tonumber(ARGV[2]), tonumber(ARGV[3])
local whole_at = tonumber(redis.call('GET', ARGV[1]) or '0')
-- More than the window is owed only if the clock was set back.
local owed = math.min(math.max(whole_at - now, 0), window)
local retry = math.max(owed + interval - window, 0)
if retry > 0 then
  return { 0, owed, retry }
end
owed = owed + interval
if owed > 0 then
  redis.call('SET', ARGV[1], string.format('%.0f', now + owed), 'PX', math.ceil(owed / 1000))
end
return { 1, owed, 0 }

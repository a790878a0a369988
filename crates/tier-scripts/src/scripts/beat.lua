-- ARGV: 3 a position that the clock is to have reached.
-- The first thing on every connection, and the pulse of those who follow. It writes, so that a server
-- that takes no invalidations is noticed. An epoch that began under another process of the server
-- ends: a snapshot, or a replica that took over, may lack invalidations that were acknowledged.
-- Gives epoch, seq, position, and the id of the newest announcement.
local epoch, seq, position = read_clock()
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if redis.call('HGET', CLOCK, 'run_id') ~= run_id then
  epoch, seq, position = begin_epoch(run_id)
end
if ARGV[3] > position then
  position = ARGV[3]
end
redis.call('HSET', CLOCK, 'position', position, 'beat', digits(read_time()))
local newest = redis.call('XREVRANGE', prefix .. 'stream', '+', '-', 'COUNT', 1)
return { epoch, seq, position, newest[1] and newest[1][1] or '0-0' }

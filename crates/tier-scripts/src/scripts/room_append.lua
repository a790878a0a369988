-- ARGV: 3 room, 4 shard, 5 data, 6 an id under which it is published once (or empty), 7 how many updates
-- are kept, 8 for how long, in milliseconds.
-- Gives epoch and offset.
if ARGV[6] ~= '' then
  local told = redis.call('GET', prefix .. 'told:' .. ARGV[6])
  if told then
    return { string.match(told, '^(%S+) '), string.match(told, ' (%d+)$') }
  end
end
local epoch = read_room(ARGV[3])
local offset = digits(redis.call('HINCRBY', prefix .. 'room:' .. ARGV[3], 'offset', 1))
local at = digits(read_time())
local history = prefix .. 'history:' .. ARGV[3]
redis.call('XADD', history, 'MAXLEN', '=', ARGV[7], offset .. '-1', 'at', at, 'data', ARGV[5])
redis.call('PEXPIRE', history, ARGV[8])
local shard = prefix .. 'shard:' .. ARGV[4]
redis.call('XADD', shard, 'MAXLEN', '~', '10000', '*',
  'room', ARGV[3], 'epoch', epoch, 'offset', offset, 'at', at, 'data', ARGV[5])
redis.call('PEXPIRE', shard, ARGV[8])
if ARGV[6] ~= '' then
  redis.call('SET', prefix .. 'told:' .. ARGV[6], epoch .. ' ' .. offset, 'PX', ROOM_KEPT)
end
return { epoch, offset }

-- What the scripts of rooms begin with, after common.lua.
--
-- <prefix>rooms             a hash: begun, how many rooms have begun
-- <prefix>room:<room>       a hash: base (the epoch of the clock), begun, offset
-- <prefix>history:<room>    a stream, the offset as its id: at, data
-- <prefix>shard:<shard>     a stream for all nodes: room, epoch, offset, at, data
-- <prefix>told:<id>         "epoch offset" of what was published under an id
-- <prefix>present:<room>    a hash: for each node "expires who"

-- A room that nobody has asked for in so long is forgotten, and begins anew; in milliseconds.
local ROOM_KEPT = 3600000

-- The room's epoch and newest offset. What was counted under another epoch of the clock, or forgotten,
-- begins anew.
local function read_room(room)
  local base = read_clock()
  local key = prefix .. 'room:' .. room
  local known = redis.call('HMGET', key, 'base', 'begun', 'offset')
  if known[1] ~= tostring(base) then
    local begun = redis.call('HINCRBY', prefix .. 'rooms', 'begun', 1)
    redis.call('DEL', prefix .. 'history:' .. room)
    redis.call('HSET', key, 'base', base, 'begun', digits(begun), 'offset', '0')
    known = { base, digits(begun), '0' }
  end
  redis.call('PEXPIRE', key, ROOM_KEPT)
  return known[1] .. '-' .. known[2], known[3]
end

-- ARGV: 3 room, 4 shard.
-- Gives epoch, offset, the newest id of the shard's stream, and what there is of the history: what comes
-- later is behind that id.
local epoch, offset = read_room(ARGV[3])
local newest = redis.call('XREVRANGE', prefix .. 'shard:' .. ARGV[4], '+', '-', 'COUNT', 1)
local entries = redis.call('XRANGE', prefix .. 'history:' .. ARGV[3], '-', '+')
local updates = {}
for at, entry in ipairs(entries) do
  updates[at] = { entry[2][2], entry[2][4] }
end
return { epoch, offset, newest[1] and newest[1][1] or '0-0', updates }

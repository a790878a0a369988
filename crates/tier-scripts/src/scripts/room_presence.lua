-- ARGV: 3 the node, 4 for how long it vouches, in milliseconds, then pairs of a room and who is there.
-- Gives for each room who is there by what the other nodes said.
local now = read_time()
local answer = {}
for at = 5, #ARGV, 2 do
  local key = prefix .. 'present:' .. ARGV[at]
  redis.call('HSET', key, ARGV[3], digits(now + tonumber(ARGV[4])) .. ' ' .. ARGV[at + 1])
  redis.call('PEXPIRE', key, ARGV[4])
  local all = redis.call('HGETALL', key)
  local others = {}
  for n = 1, #all, 2 do
    local expires, who = string.match(all[n + 1], '^(%d+) (.*)$')
    if tonumber(expires) < now then
      redis.call('HDEL', key, all[n])
    elseif all[n] ~= ARGV[3] then
      others[#others + 1] = who
    end
  end
  answer[#answer + 1] = others
end
return answer

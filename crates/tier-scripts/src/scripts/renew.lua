-- ARGV: 3 for how many ms from now on; pairs of key and token, from 4 on. Gives for each lease whether it
-- is still that of its token, and lasts.
local prefix = ARGV[1]
local replies = {}
for at = 4, #ARGV, 2 do
  local lease_key = prefix .. 'l:' .. ARGV[at]
  local holder = string.match(redis.call('GET', lease_key) or '', '^%d+')
  if holder == ARGV[at + 1] then
    redis.call('PEXPIRE', lease_key, ARGV[3])
    replies[#replies + 1] = 1
  else
    replies[#replies + 1] = 0
  end
end
return replies

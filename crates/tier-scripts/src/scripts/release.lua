-- ARGV: pairs of key and token, from 3 on. Ends the leases that are still those of their tokens.
local prefix = ARGV[1]
for at = 3, #ARGV, 2 do
  local lease_key = prefix .. 'l:' .. ARGV[at]
  local holder = string.match(redis.call('GET', lease_key) or '', '^%d+')
  if holder == ARGV[at + 1] then
    redis.call('UNLINK', lease_key)
  end
end
return 0

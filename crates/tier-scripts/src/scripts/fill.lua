-- ARGV: 3 how many fills; of each: key, token, epoch, time to keep it in ms, its times, payload, the newest
-- number that it has seen, how long in ms its load began before the lease was granted, how many tags, the
-- tags. A cache in front of a cache is given what has seen less than its lease has.
-- Gives for each: 0 stored, 1 the lease is lost, 2 a tag was raised, 3 another epoch.
local epoch, seq = read_clock()
local replies = {}
local at = 4
for n = 1, tonumber(ARGV[3]) do
  local key, token, of_epoch, keep = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local tags = tonumber(ARGV[at + 8])
  local lease_key = prefix .. 'l:' .. key
  local holder, born, of_seq = string.match(redis.call('GET', lease_key) or '', '^(%d+) (%d+) (%d+)$')
  if holder == token then
    redis.call('UNLINK', lease_key)
  end
  if of_epoch ~= epoch then
    replies[n] = 3
  elseif holder ~= token then
    replies[n] = 1
  else
    local names = {}
    local raised = false
    local seen = math.min(tonumber(of_seq), tonumber(ARGV[at + 6]))
    for tag = at + 9, at + 8 + tags do
      names[#names + 1] = ARGV[tag] .. '\255'
      -- All of them, also if the first was raised already: the next load finds them known.
      raised = know_tag(ARGV[tag], seq, keep) > seen or raised
    end
    if raised then
      replies[n] = 2
    else
      local entry = prefix .. 'e:' .. key
      local load_began = math.max(tonumber(born) - tonumber(ARGV[at + 7]), 0)
      local head = epoch .. ' ' .. digits(seen) .. ' ' .. digits(load_began) .. ' ' .. ARGV[at + 4]
      redis.call('HSET', entry, 'head', head, 'tags', table.concat(names), 'payload', ARGV[at + 5])
      redis.call('PEXPIRE', entry, keep)
      replies[n] = 0
    end
  end
  at = at + 9 + tags
end
return replies

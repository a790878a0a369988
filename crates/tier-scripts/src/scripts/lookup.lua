-- ARGV: 3 how many lookups; of each: key, wish (s: if stale, a: always, n: never), time of a lease in ms,
-- token, time for which to keep tags in ms, how many tags, the tags.
-- Gives epoch, seq, position, and for each lookup: {granted (0: not needed, 1: ours, 2: held), ms left of
-- the other's}, and if there is an entry: seq, age in ms, softened, its times, tags, payload.
local epoch, seq, position = read_clock()
local now = read_time()
local replies = { epoch, seq, position }

local function find(key)
  local found = redis.call('HMGET', key, 'head', 'tags', 'payload')
  if not found[1] then
    return nil
  end
  local of_epoch, of_seq, born, times = string.match(found[1], '^(%d+) (%d+) (%d+) (.*)$')
  local valid = of_epoch == epoch
  local as_of = tonumber(of_seq)
  local softened = 0
  if valid then
    local keys = {}
    for tag in string.gmatch(found[2], '([^\255]*)\255') do
      keys[#keys + 1] = prefix .. 't:' .. tag
    end
    local values = #keys > 0 and redis.call('MGET', unpack(keys)) or keys
    for n = 1, #values do
      local hard, soft = tag_numbers(values[n], seq)
      if not hard or hard > as_of then
        valid = false
        break
      end
      if soft > as_of then
        softened = 1
      end
    end
  end
  if not valid then
    redis.call('UNLINK', key)
    return nil
  end
  -- The server's clock may have been set back.
  local age = math.max(now - tonumber(born), 0)
  local fresh = softened == 0 and age < tonumber(string.match(times, '^%d+'))
  return { 0, 0, as_of, age, softened, times, found[2], found[3] }, fresh
end

local at = 4
for n = 1, tonumber(ARGV[3]) do
  local key, wish, lease, token, keep = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local tags = tonumber(ARGV[at + 5])
  local reply, fresh = find(prefix .. 'e:' .. key)
  reply = reply or { 0, 0 }
  if wish == 'a' or (wish == 's' and not fresh) then
    local lease_key = prefix .. 'l:' .. key
    local value = token .. ' ' .. digits(now) .. ' ' .. digits(seq)
    if redis.call('SET', lease_key, value, 'NX', 'PX', lease) then
      reply[1] = 1
      for tag = at + 6, at + 5 + tags do
        know_tag(ARGV[tag], seq, keep)
      end
    else
      reply[1] = 2
      reply[2] = math.max(redis.call('PTTL', lease_key), 1)
    end
  end
  replies[n + 3] = reply
  at = at + 6 + tags
end
return replies

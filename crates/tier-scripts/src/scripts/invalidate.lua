-- ARGV: 3 what is named (tags, keys, prefix), 4 strength (hard, soft), 5 position, the names from 6 on.
-- Numbers the invalidation, does it, announces it. Gives epoch and number.
local epoch, seq, position = read_clock()
seq = redis.call('HINCRBY', CLOCK, 'seq', 1)
if ARGV[5] > position then
  position = ARGV[5]
  redis.call('HSET', CLOCK, 'position', position)
end

local names = {}
for at = 6, #ARGV do
  local name = ARGV[at]
  names[#names + 1] = name .. '\255'
  if ARGV[3] == 'keys' then
    redis.call('UNLINK', prefix .. 'e:' .. name, prefix .. 'l:' .. name)
  elseif ARGV[3] == 'tags' then
    -- A tag that is not known needs nothing: whatever carries it is invalid, and if it is made known
    -- again, it will be by this number or a later one.
    local key = prefix .. 't:' .. name
    local hard, soft = tag_numbers(redis.call('GET', key), seq)
    if hard then
      if ARGV[4] == 'hard' then
        hard = seq
      else
        soft = seq
      end
      redis.call('SET', key, digits(hard) .. ':' .. digits(soft), 'KEEPTTL')
    end
  end
end

redis.call('XADD', prefix .. 'stream', 'MAXLEN', '~', '100000', '*',
  'epoch', epoch, 'seq', digits(seq), 'kind', ARGV[3], 'strength', ARGV[4], 'position', position,
  'names', table.concat(names))
return { epoch, seq }

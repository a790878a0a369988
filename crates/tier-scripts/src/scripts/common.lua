-- What the scripts of the shared tier begin with. ARGV[1] is the prefix of all keys, ARGV[2] a random
-- number: the next epoch, should this script have to begin one (Lua's own random numbers repeat).
--
-- <prefix>clock    a hash: epoch, seq, position (20 digits, so that text compares as numbers do), run_id
--                  of the server under which the epoch began, beat
-- <prefix>stream   what was announced
-- <prefix>t:<tag>  "hard:soft", the newest invalidation of the tag of either strength
-- <prefix>e:<key>  a hash: head (epoch, seq, born, and the entry's times: fresh first), tags, payload
-- <prefix>l:<key>  "token born seq": somebody loads the key since then
--
-- Names in a list are each followed by the byte 255, which UTF-8 does not have.
local prefix = ARGV[1]
local CLOCK = prefix .. 'clock'

-- Numbers without an exponent, which Lua writes from 10^14 on.
local function digits(number)
  return string.format('%.0f', number)
end

-- Begins an epoch under this very process of the server. The position stays if there is one: it
-- belongs to the source, not to the epoch.
local function begin_epoch(run_id)
  run_id = run_id or string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  local position = redis.call('HGET', CLOCK, 'position') or '00000000000000000000'
  redis.call('HSET', CLOCK, 'epoch', ARGV[2], 'seq', '1', 'position', position, 'run_id', run_id)
  return ARGV[2], 1, position
end

-- The epoch, the newest number, and the newest position.
local function read_clock()
  local clock = redis.call('HMGET', CLOCK, 'epoch', 'seq', 'position')
  if not clock[1] then
    return begin_epoch()
  end
  return clock[1], tonumber(clock[2]), clock[3]
end

-- Milliseconds since 1970.
local function read_time()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The numbers of a tag from what its key holds, or nothing. A number that was not given out yet is of
-- an epoch whose clock was lost: it says nothing. (One of another epoch that happens to have been given
-- out since is believed; a raise in this epoch would have replaced it, so it only invalidates too much.)
local function tag_numbers(value, seq)
  if not value then
    return nil
  end
  local hard, soft = string.match(value, '^(%d+):(%d+)$')
  hard, soft = tonumber(hard), tonumber(soft)
  if hard > seq or soft > seq then
    return nil
  end
  return hard, soft
end

-- Makes a tag's numbers known for `keep` ms at least; when it was last raised, for all we know.
local function know_tag(tag, seq, keep)
  local key = prefix .. 't:' .. tag
  local hard = tag_numbers(redis.call('GET', key), seq)
  if hard then
    redis.call('PEXPIRE', key, keep, 'GT')
    return hard
  end
  redis.call('SET', key, digits(seq) .. ':' .. digits(seq), 'PX', keep)
  return seq
end

-- Behind common.lua, for those whose calls come by no connection of their own: whether the server is still
-- the one under which the epoch began is looked at in each step, as BEAT does for a connection.
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if redis.call('HGET', CLOCK, 'run_id') ~= run_id then
  begin_epoch(run_id)
end

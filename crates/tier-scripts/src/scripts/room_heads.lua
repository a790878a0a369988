-- ARGV: rooms from 3 on.
-- Gives epoch and offset of each.
local heads = {}
for at = 3, #ARGV do
  local epoch, offset = read_room(ARGV[at])
  heads[#heads + 1] = { epoch, offset }
end
return heads

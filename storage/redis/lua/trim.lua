-- trim lets go of the messages from oldest on that are too many or created
-- before the cutoff, and returns the oldest that is left. With reading, a server
-- that takes no changes is no error: nothing goes then, and what would be the
-- floor is returned, too.
local function trim(K, L, oldest, seq, max, cutoff, reading)
  local first, floor = oldest, nil
  local fields, members = {}, {}
  local going = true
  while going and oldest <= seq do
    local part = {}
    for q = oldest, math.min(oldest + 99, seq) do part[#part + 1] = q end
    local recs = redis.call('HMGET', K, unpack(part))
    for i = 1, #part do
      local firstRev, created, len, at
      if recs[i] then
        firstRev, created, len, at = string.match(recs[i], '^(%d+) %d+ (-?%d+) (%d+) ()')
      end
      local over = max > 0 and seq - part[i] + 1 > max
      if not over and not (cutoff and created and tonumber(created) < cutoff) then
        going = false
        break
      end
      oldest = part[i] + 1
      members[#members + 1] = part[i]
      fields[#fields + 1] = part[i]
      if firstRev then
        floor = firstRev
        fields[#fields + 1] = 'm' .. string.sub(recs[i], at, at + len - 1)
      end
    end
  end
  if oldest > first then
    local set = { 'HSET', K, 'o', oldest, floor and 'f', floor }
    local done = (reading and redis.pcall or redis.call)(unpack(set, 1, floor and 6 or 4))
    if type(done) == 'table' then return oldest, floor or '' end
    many('HDEL', K, fields)
    many('ZREM', L, members)
  end
  return oldest
end

-- trim lets go of the messages from oldest on that are too many or created
-- before the cutoff, and returns the oldest that is left.
local function trim(K, L, oldest, seq, max, cutoff)
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
    if floor then
      redis.call('HSET', K, 'o', oldest, 'f', floor)
    else
      redis.call('HSET', K, 'o', oldest)
    end
    many('HDEL', K, fields)
    many('ZREM', L, members)
  end
  return oldest
end

-- int writes a number out at a third of what Lua's own way costs.
local function int(n) return string.format('%d', n) end

-- number takes the bucket's next hint number. A new counter starts at the
-- time, so that one that was lost does not continue where it was.
local function number(counter)
  local n = redis.call('INCR', counter)
  if n == 1 then
    local t = redis.call('TIME')
    n = t[1] * 1000 + math.floor(t[2] / 1000)
    redis.call('SET', counter, n)
  end
  return n
end

-- hint tells that the room's log has moved from (after, s0) to (rev, seq).
local function hint(counter, channel, room, id, epoch, after, s0, rev, seq, entries)
  redis.call('SPUBLISH', channel, table.concat({ 'H' .. int(number(counter)), epoch, after, s0, rev, seq, int(#room), int(#id),
    room .. id .. entries }, ' '))
end

-- Takes what a node has admitted off a key's budget, which may go below zero,
-- and returns what is left, and the time. Once the time by which this had to be
-- done has passed, nothing is taken: a server that has hung finds all at once
-- what was given up long ago, and budgets grow no further than a burst.
local taken, rate, burst, by = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local span = tonumber(ARGV[5]) -- of time, over which it was admitted
local t = redis.call('TIME')
local now = t[1] + t[2] / 1e6
local was = redis.call('HMGET', KEYS[1], 'left', 'at')
if by > 0 and now > by then taken, span = 0, 0 end
-- The budget has grown between what was taken, not only before it.
local left = burst + span * rate
if was[1] then
  left = math.min(left, was[1] + math.max(0, now - was[2]) * rate)
end
left = math.min(burst, left - taken)
-- With nothing taken there is nothing to remember.
if taken > 0 then
  redis.call('HSET', KEYS[1], 'left', string.format('%.6f', left), 'at', string.format('%.6f', now))
  local full = (burst - left) / math.max(rate, 1e-6)
  redis.call('PEXPIRE', KEYS[1], math.ceil(math.min(full, 86400) * 1000) + 1000)
end
return { string.format('%.6f', left), string.format('%.6f', now) }

-- Takes what a node has admitted off a key's budget, which may go below zero,
-- and returns what is left.
local taken, rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local t = redis.call('TIME')
local now = t[1] + t[2] / 1e6
local was = redis.call('HMGET', KEYS[1], 'left', 'at')
local left = burst
if was[1] then
  left = math.min(burst, was[1] + math.max(0, now - was[2]) * rate)
end
left = left - taken
-- With nothing taken there is nothing to remember.
if taken > 0 then
  redis.call('HSET', KEYS[1], 'left', string.format('%.6f', left), 'at', string.format('%.6f', now))
  local full = (burst - left) / math.max(rate, 1e-6)
  redis.call('PEXPIRE', KEYS[1], math.ceil(math.min(full, 86400) * 1000) + 1000)
end
return string.format('%.6f', left)

-- Everything about rooms that is neither an append nor a page.
local what = ARGV[1]

if what == 'list' then
  return redis.call('ZRANGEBYLEX', KEYS[1], ARGV[2], '+', 'LIMIT', 0, ARGV[3])
end

if what == 'note' then
  redis.call('ZADD', KEYS[1], 0, ARGV[2])
  return {}
end

if what == 'heads' then -- of the rooms in KEYS, each with its tombstone
  local reply = {}
  for i = 1, #KEYS, 2 do
    local h = redis.call('HMGET', KEYS[i], 'e', 'v', 's')
    if not h[1] then
      h = { '', redis.call('EXISTS', KEYS[i + 1]) == 1 and -1 or 0, 0 }
    end
    for j = 1, 3 do reply[#reply + 1] = h[j] end
  end
  return reply
end

if what == 'counter' then
  --include life.lua
  return { redis.call('GET', KEYS[1]), LIFE }
end

if what == 'signal' then
  redis.call('SPUBLISH', ARGV[2], ARGV[3])
  return {}
end

local K, L, N, O, T, C, D = unpack(KEYS)
local channel, room = ARGV[2], ARGV[3]
local h = redis.call('HMGET', K, 'e', 'v', 's', 'd')
if not h[1] then return {} end

if what == 'epoch' then
  --include life.lua
  redis.call('HSET', K, 'e', ARGV[4], 'l', LIFE)
  redis.call('HDEL', K, 'p')
  hint(C, channel, room, h[4], ARGV[4], h[2], h[3], h[2], h[3], '')
  return { ARGV[4], h[2], h[3] }
end

if what == 'trim' then
  local s, keep = tonumber(h[3]), tonumber(ARGV[4])
  local oldest = tonumber(redis.call('HGET', K, 'o') or 1)
  if s - oldest + 1 > keep then
    --include trim.lua
    trim(K, L, oldest, s, keep, nil)
  end
  return { h[1] }
end

if what == 'remove' then
  redis.call('UNLINK', K, L, N, O) -- first: it is allowed when memory is full
  redis.call('SET', T, 1, 'PX', ARGV[4])
  redis.call('ZREM', D, room)
  hint(C, channel, room, h[4], h[1], h[2], h[3], -1, 0, '')
  return { h[1] }
end
return redis.error_reply('ERR unknown ' .. what)

-- Who is where. Nodes and their leases are in one slot, who is in a room is in
-- the room's: a hash by node, incarnation and user. An incarnation lasts as
-- long as the lease and the life of the data, so nothing of an earlier one comes
-- back, and what was lost with one is said again.
local what = ARGV[1]

local function ended(leases)
  local time = redis.call('TIME')
  local t = time[1] * 1000 + math.floor(time[2] / 1000)
  return redis.call('ZRANGEBYSCORE', leases, '-inf', t), t
end

local function expire(leases, incarnations)
  local ended, t = ended(leases)
  for i = 1, #ended do
    redis.call('ZREM', leases, ended[i])
    redis.call('HDEL', incarnations, ended[i])
  end
  return t
end

if what == 'lease' then
  local leases, incarnations = KEYS[1], KEYS[2]
  local node, lease, fresh = ARGV[2], tonumber(ARGV[3]), ARGV[4]
  --include life.lua
  local lives = string.sub(LIFE, 1, 10) .. ARGV[5]
  local t = expire(leases, incarnations)
  local lapsed = 0
  local incarnation = redis.call('HGET', incarnations, node)
  if not incarnation or string.sub(incarnation, -#lives) ~= lives then
    lapsed, incarnation = 1, fresh .. lives
  end
  if lease > 0 then
    redis.call('ZADD', leases, t + lease, node)
    redis.call('HSET', incarnations, node, incarnation)
  else
    redis.call('ZREM', leases, node)
    redis.call('HDEL', incarnations, node)
  end
  local all = redis.call('HGETALL', incarnations)
  table.insert(all, 1, lapsed)
  table.insert(all, 2, incarnation)
  return all
end

if what == 'nodes' then -- without a write, which may be refused
  local over = {}
  for _, node in ipairs((ended(KEYS[1]))) do over[node] = true end
  local all, reply = redis.call('HGETALL', KEYS[2]), {}
  for i = 1, #all, 2 do
    if not over[all[i]] then
      reply[#reply + 1] = all[i]
      reply[#reply + 1] = all[i + 1]
    end
  end
  return reply
end

if what == 'who' then
  return redis.call('HGETALL', KEYS[1])
end

if what == 'forget' then
  many('HDEL', KEYS[1], { unpack(ARGV, 2) })
  return {}
end

if what == 'keep' then
  return { redis.call('PEXPIRE', KEYS[1], ARGV[2]) }
end

-- attend: field and value of each who comes, field and nothing of who goes.
local P, C = KEYS[1], KEYS[2]
local channel, room, ttl, told = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
for i = 6, #ARGV, 2 do
  if ARGV[i + 1] ~= '' then
    redis.call('HSET', P, ARGV[i], ARGV[i + 1])
  else
    redis.call('HDEL', P, ARGV[i])
  end
end
redis.call('PEXPIRE', P, ttl)
redis.call('SPUBLISH', channel, 'P' .. number(C) .. ' ' .. #room .. ' ' .. room .. told)
return {}

-- Applies what the caller has planned if all it has assumed is so, else
-- changes nothing and says how things are.
local K, L, N, O, T, C, D = unpack(KEYS)
local applies, waits = ARGV[1] == 'a' or ARGV[1] == 'aw', #ARGV[1] > 1
local knownEpoch, knownRev, freshEpoch = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local channel, room, ttl = ARGV[5], ARGV[6], tonumber(ARGV[7])
local max, cutoff = tonumber(ARGV[8]), tonumber(ARGV[9])
local nrev, nid, nnonce = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local nnew, nput = tonumber(ARGV[13]), tonumber(ARGV[14])
local making, infoOff, infoWas, info, roomID = ARGV[15] == '1', tonumber(ARGV[16]), ARGV[17], ARGV[18], ARGV[19]
local entries = ARGV[20]
local atIDs = 20
local atNonces = atIDs + nid
local atNew = atNonces + nnonce
local atPut = atNew + 5 * nnew

local fields = { 'e', 'v', 's', 'o', 'd' }
for i = 1, nid do fields[5 + i] = 'm' .. ARGV[atIDs + i] end
local h = hmget(K, fields)
local epoch = h[1]
local v0, s0, oldest = tonumber(h[2] or 0), tonumber(h[3] or 0), tonumber(h[4] or 1)
local started = false
if epoch and epoch == knownEpoch and knownRev > v0 then
  epoch, started = freshEpoch, true
  redis.call('HSET', K, 'e', epoch)
end

-- Is everything as assumed?
local so = applies and making ~= (epoch and true)
for i = 1, nnew do so = so and not h[5 + i] end
-- N begins with the time it was begun at and, if there is an O, an "o".
local found, begun = {}, nil
if nnonce > 0 and epoch then
  fields = { '' }
  for i = 1, nnonce do fields[i + 1] = ARGV[atNonces + i] end
  local now = hmget(N, fields)
  begun = now[1]
  local before = begun and string.sub(begun, -1) == 'o' and hmget(O, fields)
  for i = 1, nnonce do found[i] = now[i + 1] or before and before[i + 1] end
end
for i = 0, nnew - 1 do
  local nonce = tonumber(ARGV[atNew + 5 * i + 3])
  so = so and not (nonce > 0 and found[nonce])
end
if so and infoOff > 0 and not making then
  local is = redis.call('HGET', K, 'i')
  so = is and string.match(is, '^(%d+) ') == infoWas
end
local firsts = {}
if so and nput > 0 then
  local seqs = {}
  for i = 0, nput - 1 do seqs[i + 1] = ARGV[atPut + 4 * i + 1] end
  local recs = hmget(K, seqs)
  for i = 0, nput - 1 do
    local first, rev = string.match(recs[i + 1] or '', '^(%d+) (%d+) ')
    so = so and rev == ARGV[atPut + 4 * i + 2]
    firsts[i + 1] = first
  end
end

if not so then
  if started then hint(C, channel, room, h[5], epoch, v0, s0, v0, s0, '') end
  -- What is answered may rest on an earlier write that is not on the replicas
  -- yet. WAIT is about writes of the same connection, so make one.
  if waits and epoch then redis.call('HSET', K, 'w', 1) end
  local removed = not epoch and redis.call('EXISTS', T) or 0
  local reply = { 0, epoch, v0, s0, h[5], removed, redis.call('HGET', K, 'i') }
  for i = 1, nid do
    local seq = h[5 + i]
    reply[#reply + 1] = seq
    reply[#reply + 1] = seq and redis.call('HGET', K, seq)
  end
  for i = 1, nnonce do
    local sent = found[i] or false
    reply[#reply + 1] = sent
    reply[#reply + 1] = sent and redis.call('HGET', K, string.match(sent, '^%d+'))
  end
  return reply
end

-- The first write is one that is refused when memory is full.
local v, s = v0 + nrev, s0 + nnew
local set, log, sent = { 'v', v, 's', s }, {}, {}
if making then
  epoch = freshEpoch
  set = { 'v', v, 's', s, 'e', epoch, 'o', 1, 'd', roomID }
  h[5] = roomID
end
if infoOff > 0 then
  set[#set + 1] = 'i'
  set[#set + 1] = v0 + infoOff .. ' ' .. info
  log = { v0 + infoOff, 0 }
end
for i = 1, nnew do
  local at, seq = atNew + 5 * (i - 1), s0 + i
  local first, rev = v0 + ARGV[at + 1], v0 + ARGV[at + 2]
  local n, m = #set, #log
  set[n + 1], set[n + 2] = seq, first .. ' ' .. rev .. ' ' .. ARGV[at + 5]
  set[n + 3], set[n + 4] = 'm' .. ARGV[atIDs + i], seq
  log[m + 1], log[m + 2] = rev, seq
  local nonce = tonumber(ARGV[at + 3])
  if nonce > 0 then
    sent[#sent + 1] = ARGV[atNonces + nonce]
    sent[#sent + 1] = seq .. ' ' .. first .. ' ' .. ARGV[at + 4]
  end
end
for i = 1, nput do
  local at = atPut + 4 * (i - 1)
  local rev = v0 + ARGV[at + 3]
  local n, m = #set, #log
  set[n + 1], set[n + 2] = ARGV[at + 1], firsts[i] .. ' ' .. rev .. ' ' .. ARGV[at + 4]
  log[m + 1], log[m + 2] = rev, ARGV[at + 1]
end
many('HSET', K, set)
many('ZADD', L, log)
-- After a lifetime N becomes O and a new one begins: what is in them is known
-- for one lifetime at least and two at most.
if #sent > 0 then
  local t = redis.call('TIME')
  local now = t[1] * 1000 + math.floor(t[2] / 1000)
  local over = begun and now - string.match(begun, '^%d+') > ttl
  if over then
    redis.call('UNLINK', O)
    redis.call('RENAME', N, O)
    redis.call('PEXPIRE', O, ttl)
  end
  if over or not begun then
    sent[#sent + 1] = ''
    sent[#sent + 1] = over and now .. 'o' or now
  end
  many('HSET', N, sent)
  if over or not begun then redis.call('PEXPIRE', N, 2 * ttl) end
end
if making then
  redis.call('ZADD', D, 0, room)
  redis.call('DEL', T)
end
if max > 0 and s - oldest + 1 > max or cutoff then
  --include trim.lua
  trim(K, L, oldest, s, max, cutoff)
end
hint(C, channel, room, h[5], epoch, v0, s0, v, s, entries)
return { 1, epoch, v0, s0, h[5] }

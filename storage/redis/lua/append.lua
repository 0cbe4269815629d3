-- Applies each part, if all that its caller has assumed is so; else changes
-- nothing and says how things are. A part is seven keys and as many arguments
-- as the first of them says. What one part runs into does not concern the
-- others.
--include life.lua
local function append(key, at)
  local K, L, N, O, T, C, D = unpack(KEYS, key + 1, key + 7)
  local applies, waits = ARGV[at + 1] == 'a' or ARGV[at + 1] == 'aw', #ARGV[at + 1] > 1
  local knownEpoch, knownRev, freshEpoch = ARGV[at + 2], tonumber(ARGV[at + 3]), ARGV[at + 4]
  local channel, room, ttl = ARGV[at + 5], ARGV[at + 6], tonumber(ARGV[at + 7])
  local max, cutoff = tonumber(ARGV[at + 8]), tonumber(ARGV[at + 9])
  local nrev, nid, nnonce = tonumber(ARGV[at + 10]), tonumber(ARGV[at + 11]), tonumber(ARGV[at + 12])
  local nnew, nput = tonumber(ARGV[at + 13]), tonumber(ARGV[at + 14])
  local making, infoOff, infoWas, info, roomID = ARGV[at + 15] == '1', tonumber(ARGV[at + 16]), ARGV[at + 17], ARGV[at + 18], ARGV[at + 19]
  local entries, planned = ARGV[at + 20], ARGV[at + 21]
  local atIDs = at + 21
  local atNonces = atIDs + nid
  local atNew = atNonces + nnonce
  local atPut = atNew + 5 * nnew

  local fields = { 'e', 'v', 's', 'o', 'd', 'l' }
  for i = 1, nid do fields[6 + i] = 'm' .. ARGV[atIDs + i] end
  local h = hmget(K, fields)
  local epoch = h[1]
  local v0, s0, oldest = tonumber(h[2] or 0), tonumber(h[3] or 0), tonumber(h[4] or 1)
  -- The store has come back as it was earlier if the caller has seen more of
  -- this epoch; and it may have, in another life. Then a new epoch begins after
  -- v0. In another life that can wait until there is something to write.
  local behind = epoch and epoch == knownEpoch and knownRev > v0
  local past
  if epoch and (behind or h[6] ~= LIFE) then
    -- "epoch rev epoch rev …", the newest first.
    local all = { epoch, v0 }
    for e, r in string.gmatch(redis.call('HGET', K, 'p') or '', '(%S+) (%d+)') do
      if #all < 2 * MAX_PAST then
        all[#all + 1], all[#all + 2] = e, math.min(r, v0)
      end
    end
    past = table.concat(all, ' ')
  end

  -- Is everything as assumed? In another epoch the same rev may be something
  -- else.
  local so = applies and making ~= (epoch and true) and (planned == '' or planned == epoch)
  for i = 1, nnew do so = so and not h[6 + i] end
  -- N begins with the time it was begun at and, if there is an O, an "o".
  local found, begun = {}, nil
  if nnonce > 0 and epoch then
    fields = { '' }
    for i = 1, nnonce do fields[i + 1] = ARGV[atNonces + i] end
    local new = hmget(N, fields)
    begun = new[1]
    local before = begun and string.sub(begun, -1) == 'o' and hmget(O, fields)
    for i = 1, nnonce do found[i] = new[i + 1] or before and before[i + 1] end
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
    if behind then
      epoch = freshEpoch
      redis.call('HSET', K, 'e', epoch, 'l', LIFE, 'p', past)
      hint(C, channel, room, h[5], epoch, h[2], h[3], h[2], h[3], '')
    end
    -- What is answered may rest on an earlier write that is not on the replicas
    -- yet. WAIT is about writes of the same connection, so make one.
    if waits and epoch then redis.call('HSET', K, 'w', 1) end
    local removed = not epoch and redis.call('EXISTS', T) or 0
    local reply = { 0, epoch, v0, s0, h[5], removed, redis.call('HGET', K, 'i') }
    for i = 1, nid do
      local seq = h[6 + i]
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
  local V, S = int(v), int(s)
  local set, log, sent = { 'v', V, 's', S }, {}, {}
  if making then
    epoch = freshEpoch
    set = { 'v', V, 's', S, 'e', epoch, 'l', LIFE, 'o', '1', 'd', roomID }
    h[5] = roomID
  elseif past then
    epoch = freshEpoch
    set = { 'v', V, 's', S, 'e', epoch, 'l', LIFE, 'p', past }
  end
  if infoOff > 0 then
    set[#set + 1] = 'i'
    set[#set + 1] = v0 + infoOff .. ' ' .. info
    log = { v0 + infoOff, 0 }
  end
  for i = 1, nnew do
    local from, seq = atNew + 5 * (i - 1), s0 + i
    local first, rev = v0 + ARGV[from + 1], v0 + ARGV[from + 2]
    rev, first = rev == v and V or int(rev), first == v and V or int(first)
    seq = seq == s and S or int(seq)
    local n, m = #set, #log
    set[n + 1], set[n + 2] = seq, first .. ' ' .. rev .. ' ' .. ARGV[from + 5]
    set[n + 3], set[n + 4] = 'm' .. ARGV[atIDs + i], seq
    log[m + 1], log[m + 2] = rev, seq
    local nonce = tonumber(ARGV[from + 3])
    if nonce > 0 then
      sent[#sent + 1] = ARGV[atNonces + nonce]
      sent[#sent + 1] = seq .. ' ' .. first .. ' ' .. ARGV[from + 4]
    end
  end
  for i = 1, nput do
    local from = atPut + 4 * (i - 1)
    local rev = int(v0 + ARGV[from + 3])
    local n, m = #set, #log
    set[n + 1], set[n + 2] = ARGV[from + 1], firsts[i] .. ' ' .. rev .. ' ' .. ARGV[from + 4]
    log[m + 1], log[m + 2] = rev, ARGV[from + 1]
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
  hint(C, channel, room, h[5], epoch, h[2] or '0', h[3] or '0', V, S, entries)
  return { 1, epoch, v0, s0, h[5] }
end

if #KEYS == 7 then return { append(0, 1) } end
local replies = {}
local key, at = 0, 1
while key < #KEYS do
  local ok, reply = pcall(append, key, at)
  replies[#replies + 1] = ok and reply or type(reply) == 'table' and reply or { err = tostring(reply) }
  key, at = key + 7, at + ARGV[at] + 1
end
return replies

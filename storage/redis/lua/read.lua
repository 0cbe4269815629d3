-- One snapshot of a room: {epoch, rev, seq, floor, id, settings, more, past, seq
-- and record of each that was asked for}.
local K, L, N, O = unpack(KEYS)
local kind, cutoff, arg, limit = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])

local h = redis.call('HMGET', K, 'e', 'v', 's', 'f', 'd', 'i', 'o', 'p')
if not h[1] then return {} end
local v, s, oldest = tonumber(h[2]), tonumber(h[3]), tonumber(h[7])
local hidden -- what is too old is still there
if cutoff then
  --include trim.lua
  local is, floor = trim(K, L, oldest, s, 0, cutoff, true)
  if floor then
    hidden, h[4] = true, floor ~= '' and floor or h[4]
  elseif is ~= oldest then
    h[4] = redis.call('HGET', K, 'f')
  end
  oldest = is
end
local reply = { h[1], v, s, h[4] or '0', h[5], h[6], 0, h[8] or '' }

local function add(seqs)
  local recs = #seqs > 0 and hmget(K, seqs) or {}
  for i = 1, #seqs do
    reply[#reply + 1] = seqs[i]
    reply[#reply + 1] = recs[i]
  end
end

if kind == 'head' then return reply end

if kind == 'changes' then
  -- One more than asked for says whether there are more.
  local members = redis.call('ZRANGEBYSCORE', L, '(' .. arg, '+inf', 'LIMIT', 0, limit + 1)
  if hidden then
    local from, some = 0, members
    members = {}
    while #some > 0 and #members <= limit do
      for i = 1, #some do
        if #members <= limit and (some[i] == '0' or tonumber(some[i]) >= oldest) then members[#members + 1] = some[i] end
      end
      from = from + #some
      some = redis.call('ZRANGEBYSCORE', L, '(' .. arg, '+inf', 'LIMIT', from, limit + 1)
    end
  end
  if #members > limit then
    members[#members] = nil
    reply[7] = 1
  end
  for i = 1, #members do
    if members[i] == '0' then members[i] = 'i' end
  end
  add(members)
  return reply
end

if kind == 'id' then
  local seq = redis.call('HGET', K, 'm' .. arg)
  if seq and tonumber(seq) >= oldest then add({ seq }) end
  return reply
end

if kind == 'nonce' then
  local sent = redis.call('HGET', N, arg)
  local begun = not sent and redis.call('HGET', N, '')
  if begun and string.sub(begun, -1) == 'o' then sent = redis.call('HGET', O, arg) end
  local seq = sent and tonumber(string.match(sent, '^%d+'))
  if seq and seq >= oldest then add({ seq }) end
  return reply
end

-- The half-open range [from, to) of seqs is what is asked for.
local function clamp(x, low, high) return math.min(math.max(x, low), high) end
local at, stop, from, to = tonumber(arg), s + 1, nil, nil
if kind == 'after' then
  from = clamp(at, oldest - 1, stop) + 1
  to = from + math.min(limit, math.max(stop - from, 0))
  reply[7] = to < stop and 1 or 0
elseif kind == 'around' then
  at = clamp(at, oldest, stop)
  from = math.max(at - math.floor(limit / 2), oldest)
  to = math.min(from + limit, stop)
  from = math.max(to - limit, oldest)
  reply[7] = to < stop and 1 or 0
else
  to = stop
  if at > 0 then to = clamp(at, oldest, stop) end
  from = to - math.min(limit, to - oldest)
  reply[7] = from > oldest and 1 or 0
end
local seqs = {}
for q = from, to - 1 do seqs[#seqs + 1] = q end
add(seqs)
return reply

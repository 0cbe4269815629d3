-- What the scripts share. A room is in four keys: the hash K holds the fields
-- e(poch), v (head rev), s (head seq), o(ldest seq kept), f(loor), d (room id),
-- i (settings), l (the life of the data that its epoch is of), p (where earlier
-- epochs ended), one by seq for each message and one "m"..id that leads to the
-- seq; the sorted set L holds seqs by rev, 0 being the settings; the hashes N
-- and O hold nonces, of now and of before. Nothing is read into a record but
-- "firstRev rev created #id id".
--
-- Each function costs every run of a script that has it before it, called or
-- not. So there are few here, and the others go where they are needed.

-- unpack has a limit; no call passes more than this at once.
local MOST = 4000

local function hmget(key, fields)
  local n = #fields
  if n <= MOST then return redis.call('HMGET', key, unpack(fields)) end
  local out = {}
  for i = 1, n, MOST do
    local part = redis.call('HMGET', key, unpack(fields, i, math.min(i + MOST - 1, n)))
    for j = 1, #part do out[i + j - 1] = part[j] end
  end
  return out
end

local function many(command, key, args)
  for i = 1, #args, MOST do
    redis.call(command, key, unpack(args, i, math.min(i + MOST - 1, #args)))
  end
end

-- LIFE names this life of the data. The replication id is a new one with each
-- process and with each promotion of a replica, so what was written under it
-- is there for as long as it is the same. Where the server keeps it to itself
-- the id of the process must do.
local LIFE
do
  local info = redis.call('INFO', 'replication')
  -- A replica that can be written to loses it at its next sync.
  if not string.find(info, 'role:master', 1, true) then error({ err = 'READONLY this is no master' }) end
  local _, at = string.find(info, 'master_replid:', 1, true)
  if not at then
    info = redis.call('INFO', 'server')
    _, at = string.find(info, 'run_id:', 1, true)
  end
  LIFE = string.sub(info, at + 1, at + 40)
end

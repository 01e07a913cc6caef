-- Says what all tenants and queues may have from now on. A host may always change what it said itself,
-- and what another one said unless that has a higher version and is there.
--
-- Args: by (the name of the host), version, tenants = { { tenant, { weight, limits = { [key] = limit },
-- shown = { [key] = limit in words }, has_windows } } }, queues = { [queue] = runs at once }.
-- Answer: { counts }. Errors: GEN. O(tenants + hosts).
local refused = guard(false)
if refused then return refused end

-- Whether a host of this name has a session.
local function is_there(name)
  local hosts = call('HGETALL', HOST)
  for i = 1, #hosts, 2 do
    local counter = call('HGET', SES, hosts[i])
    if counter and counter ~= 'dead' and dec(hosts[i + 1]).host == name then return true end
  end
  return false
end

local said = call('HGET', META, 'allot_by')
if said then
  local version, by = dec(said)
  if by ~= A.by and A.version < version and is_there(by) then return done({ counts = false }) end
end
call('HSET', META, 'allot_by', enc(A.version, A.by))
call('DEL', ALLOT)
for _, row in ipairs(A.tenants) do put_field(ALLOT, row[1], enc(row[2])) end
-- While nothing is allotted, no script looks for it.
if #A.tenants > 0 or next(A.queues) then
  call('HSET', META, 'allot', enc(A.queues))
else
  call('HDEL', META, 'allot')
end
-- What waited for a quota may begin.
tell_queued()
return done({ counts = true })

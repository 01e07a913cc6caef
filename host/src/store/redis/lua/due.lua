-- Schedules that have come due, earliest first, and when to ask again. Lets waiting runs go on whose
-- time has come, and gives up those that should have started.
--
-- Args: max, delay (us that this host lets others go first). Answer: { now, next, items =
-- { { jk, schedule } } }, packed as it is kept. Errors: GEN, FENCED. O(log N + max).
local refused = guard(true)
if refused then return refused end
wake()
write()
local latest = DUE_BY - A.delay
local keys = call('ZRANGEBYSCORE', DUE, '-inf', number(latest), 'LIMIT', 0, A.max)
local items = {}
if #keys > 0 then
  local kept = call('HMGET', PLAN, unpack(keys))
  for i, jk in ipairs(keys) do
    items[i] = { jk, kept[i] or '' }
  end
end
local next_due = next_wake()
local first
if #keys == A.max then
  first = call('ZRANGEBYSCORE', DUE, '-inf', '+inf', 'WITHSCORES', 'LIMIT', A.max, 1)[2]
else
  first = call('ZRANGEBYSCORE', DUE, '(' .. number(latest), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
end
if first then
  first = tonumber(first) + A.delay
  if not next_due or first < next_due then next_due = first end
end
return done({ now = DUE_BY, next = next_due, items = items })

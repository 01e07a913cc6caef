-- Creates or replaces a schedule.
--
-- Args: tenant, job, uid (of a new one), plan (the planning record as a new one), keep_cursor, ranges,
-- on = fail | keep | replace | if, version (for `if`). ARGV[3]: the definition.
-- Answer: { kind = created | replaced | kept, schedule = packed as it is kept }. Errors: GEN, CONFLICT, NOTFOUND, INVALID,
-- QUOTA.
-- O(log N + ranges). Reads and checks everything before it writes.
local refused = guard(false)
if refused then return refused end
local jk = jkey(A.tenant, A.job)
local old, new = schedule_of(jk), A.plan
new.uid = A.uid

local function answer(kind)
  return done({ kind = kind, schedule = packed_schedule(jk) })
end

if not old then
  if A.on == 'if' then return refuse('NOTFOUND', 'job ' .. A.tenant .. '/' .. A.job) end
  local wrong = check_cursor(new.cursor, new.due_at, A.ranges[#A.ranges] and A.ranges[#A.ranges].last)
    or check_ranges(A.ranges, nil, new.cursor, nil, true)
  if wrong then return refuse('INVALID', wrong) end
  local most = allotment_of(A.tenant).limits.jobs
  if most and most <= call('ZLEXCOUNT', JOB, '[' .. A.tenant .. '\0', '(' .. A.tenant .. '\1') then
    return refuse('QUOTA', 'jobs ' .. number(most))
  end
  new.version, new.def_version, new.created_at = 1, 1, NOW
  -- By the caller's clock, which stands still between a call and its repeat.
  new.asked_at = A.now
  new.accounted_from = new.cursor
  new.last_fire = nil
  for _, range in ipairs(A.ranges) do
    new.last_fire = add_range(A.tenant, A.job, new.uid, new.last_fire, range)
  end
  call('HSET', DEF, jk, head_of(new) .. ARGV[3])
  call('ZADD', JOB, 0, jk)
  keep_new_schedule(jk, new, { uid = new.uid, failures = 0 })
  tell('job', A.tenant, A.job)
  return answer('created')
end

local same = call('HGET', DEF, jk) == head_of(old) .. ARGV[3] and old.source == new.source
if A.on == 'fail' then
  if old.version == 1 and old.asked_at == A.now and same then return answer('created') end
  return refuse('CONFLICT', number(old.version))
elseif A.on == 'keep' then
  return answer('kept')
elseif A.on == 'if' then
  if old.version == A.version + 1 and same then return answer('replaced') end
  if old.version ~= A.version then return refuse('CONFLICT', number(old.version)) end
end
if not A.keep_cursor then
  local wrong = check_cursor(new.cursor, new.due_at, old.last_fire)
  if wrong then return refuse('INVALID', wrong) end
  if new.cursor ~= old.cursor then old.accounted_from = new.cursor end
  old.cursor, old.due_at, old.trigger_state = new.cursor, new.due_at, new.trigger_state
end
old.version = old.version + 1
old.def_version = old.version
for _, field in ipairs({ 'source', 'parked', 'max_instances', 'rules', 'history' }) do
  old[field] = new[field]
end
call('HSET', DEF, jk, head_of(old) .. ARGV[3])
keep_schedule(jk, old)
tell('job', A.tenant, A.job)
fill_slots(jk, A.tenant, old.uid)
return answer('replaced')

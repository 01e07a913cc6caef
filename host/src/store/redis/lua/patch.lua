-- Changes parts of a schedule.
--
-- Args: tenant, job, expect (version), sets_pause with pause, sets_parked with parked, sets_cursor
-- with cursor and due_at, ranges. Answer: { version }. Errors: GEN, NOTFOUND, CONFLICT, INVALID.
-- O(log N + ranges).
local refused = guard(false)
if refused then return refused end
local jk = jkey(A.tenant, A.job)
local plan = schedule_of(jk)
if not plan then return refuse('NOTFOUND', 'job ' .. A.tenant .. '/' .. A.job) end

-- Whether this patch has been applied before: its answer was lost.
local function is_applied()
  local function same_pause(a, b)
    if not a or not b then return not a and not b end
    return a.by == b.by and a.why == b.why and a['until'] == b['until']
  end
  return (not A.sets_pause or same_pause(A.pause, plan.pause))
    and (not A.sets_parked or A.parked == plan.parked)
    and (not A.sets_cursor or (A.cursor == plan.cursor and A.due_at == plan.due_at))
end

if A.expect then
  if plan.version == A.expect + 1 and is_applied() then return done({ version = plan.version }) end
  if plan.version ~= A.expect then return refuse('CONFLICT', number(plan.version)) end
end
local newest = A.ranges[#A.ranges]
if A.sets_cursor then
  local last_fire = plan.last_fire
  local wrong = check_ranges(A.ranges, plan.cursor, A.cursor, last_fire, false)
  if newest and (not last_fire or last_fire < newest.last) then last_fire = newest.last end
  wrong = wrong or check_cursor(A.cursor, A.due_at, last_fire)
  if wrong then return refuse('INVALID', wrong) end
  if not newest and A.cursor ~= plan.cursor then plan.accounted_from = A.cursor end
  plan.cursor, plan.due_at = A.cursor, A.due_at
elseif newest then
  return refuse('INVALID', 'ranges without a cursor that passes them')
end
plan.version = plan.version + 1
if A.sets_pause then plan.pause = A.pause end
if A.sets_parked then plan.parked = A.parked end
for _, range in ipairs(A.ranges) do
  plan.last_fire = add_range(A.tenant, A.job, plan.uid, plan.last_fire, range)
end
keep_schedule(jk, plan)
tell('job', A.tenant, A.job)
return done({ version = plan.version })

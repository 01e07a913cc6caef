-- Removes a schedule; its past stays.
--
-- Args: tenant, job, expect (version), cancel (its live runs, of whichever creation, too).
-- Answer: { removed }. Errors: GEN, CONFLICT. O(log N + live runs of the job).
local refused = guard(false)
if refused then return refused end
local jk = jkey(A.tenant, A.job)
local plan = schedule_of(jk)
if not plan then return done({ removed = false }) end
if A.expect and A.expect ~= plan.version then return refuse('CONFLICT', number(plan.version)) end
call('HDEL', PLAN, jk)
call('HDEL', DEF, jk)
call('ZREM', DUE, jk)
call('ZREM', JOB, jk)
call('HDEL', RANGE_OPEN, plan.uid)
schedules[jk] = false
tell('job', A.tenant, A.job)
if A.cancel then
  local live = call('ZRANGEBYLEX', JOB_LIVE, '[' .. jk .. '\0', '(' .. jk .. '\1')
  for i, member in ipairs(live) do live[i] = string.sub(member, -32) end
  table.sort(live)
  for _, id in ipairs(live) do stop(id .. A.tenant, 'the job was removed', 'job_removed') end
end
return done({ removed = true })

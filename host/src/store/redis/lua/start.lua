-- Makes a run outside the schedule. The caller chose its id: a repeat is the same run.
--
-- Args: tenant, job, run (the whole record but its uid). Answer: { made, run = packed as it is kept }.
-- Errors: GEN, NOTFOUND, QUOTA. O(log N).
local refused = guard(false)
if refused then return refused end
local rk = A.run.id .. A.run.tenant
local known = live_run(rk) or past_run(rk)
if known then return done({ made = false, run = pack_run(known) }) end
local jk = jkey(A.tenant, A.job)
local plan = schedule_of(jk)
if not plan then return refuse('NOTFOUND', 'job ' .. A.tenant .. '/' .. A.job) end
local account, most = account_of(A.tenant), allotment_of(A.tenant).limits.queued
if most and most <= account.live - account.running then
  return refuse('QUOTA', 'queued ' .. number(most))
end
wake()
local run = A.run
run.uid, run.queued_at = plan.uid, NOW
local place = place_for_new(run, DUE_BY)
insert_live(run, place)
if place == 'ready' then tell_queued() end
if note(run, true) then keep_last(jk) end
return done({ made = true, run = pack_run(run) })

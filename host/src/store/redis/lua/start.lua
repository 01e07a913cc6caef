-- Makes a run outside the schedule. The caller chose its id: a repeat is the same run.
--
-- Args: tenant, job, run (the whole record but its uid). Answer: { made | exists, run }.
-- Errors: GEN, NOTFOUND. O(log N).
local refused = guard(false)
if refused then return refused end
local rk = A.run.id .. A.run.tenant
local raw = call('HGET', LIVE, rk) or call('HGET', PAST, rk)
if raw then return done({ made = false, run = dec(raw) }) end
local jk = jkey(A.tenant, A.job)
local plan = schedule_of(jk)
if not plan then return refuse('NOTFOUND', 'job ' .. A.tenant .. '/' .. A.job) end
wake()
local run = A.run
run.uid, run.queued_at = plan.uid, NOW
local place = place_for_new(run, DUE_BY)
insert_live(run, place)
if place == 'ready' then tell_queued() end
local last = note(run, true)
if last then keep_last(jk, last) end
return done({ made = true, run = run })

-- Gives a run that never started its verdict.
--
-- Args: run, tenant, text, verdict, reason. Answer: { dropped }. Errors: GEN. O(log N).
local refused = guard(false)
if refused then return refused end
local rk = A.run .. A.tenant
local run = live_run(rk)
if not run then
  local past = past_run(rk)
  return done({ dropped = past and past.verdict == A.verdict and past.reason == A.reason or false })
end
if run.verdict then return done({ dropped = false }) end
drop(run, A.verdict, A.reason)
return done({ dropped = true })

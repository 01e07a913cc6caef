-- Adds lines to the log of a run whose current attempt has this fence.
--
-- Args: run, tenant, fence, lines (how many in ARGV[3]). Answer: {}. Errors: GEN, FENCED. O(log size).
local refused = guard(false)
if refused then return refused end
local rk = A.run .. A.tenant
local run = live_run(rk)
if not run or run.place ~= 'held' or current_fence(run) ~= A.fence then return refuse('FENCED') end
append(rk, ARGV[3], A.lines)
return done({ ok = true })

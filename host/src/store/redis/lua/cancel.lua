-- Asks that a run be cancelled.
--
-- Args: run, tenant, text, why. Answer: { state = ended | asked | done }. Errors: GEN, NOTFOUND.
-- O(log N).
local refused = guard(false)
if refused then return refused end
local rk = A.run .. A.tenant
local state = stop(rk, A.why, 'by_request')
if not state then
  if call('HEXISTS', PAST, rk) == 0 then
    return refuse('NOTFOUND', 'run ' .. A.tenant .. '/' .. A.run)
  end
  state = 'done'
end
return done({ state = state })

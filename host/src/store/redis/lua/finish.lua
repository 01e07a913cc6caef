-- Ends the current attempt of a run.
--
-- Args: run, tenant, fence, text (the time, for people), outcome, result (JSON text), error, usage,
-- digest, progress, retry_at, lines (how many in ARGV[3], the log's JSON lines).
-- Answer: { state = done | already | fenced, ended = its job, when the run is over }. Errors: GEN, NOTFOUND. O(log N).
-- A session that is over may still ask: it is told `fenced`.
local refused = guard(false)
if refused then return refused end
local rk = A.run .. A.tenant
local run = live_run(rk)
if not run then
  local raw = call('HGET', PAST, rk)
  if not raw then return refuse('NOTFOUND', 'run ' .. A.tenant .. '/' .. A.run) end
  return done({ state = finished_before(dec(raw), A.session, A.fence, A.outcome) })
end
local counter = call('HGET', SES, A.session)
local lives = counter and counter ~= 'dead'
if not lives or run.place ~= 'held' or run.holder ~= A.session
  or current_fence(run) ~= A.fence then
  return done({ state = finished_before(run, A.session, A.fence, A.outcome) })
end
append(rk, ARGV[3], A.lines)
local attempt = run.attempts[#run.attempts]
attempt.digest, attempt.finished_at, attempt.outcome = A.digest, NOW, A.outcome
attempt.error, attempt.usage = A.error, A.usage
local total = run.usage
for _, field in ipairs({ 'wall_ms', 'cpu_ms', 'waited_ms', 'host_calls' }) do
  total[field] = (total[field] or 0) + A.usage[field]
end
total.peak_memory_bytes = math.max(total.peak_memory_bytes, A.usage.peak_memory_bytes)
for effect, use in pairs(A.usage.io or {}) do
  -- An empty table would be written as a list, so there is none before the first call.
  total.io = total.io or {}
  local sum = total.io[effect] or { calls = 0, bytes_in = 0, bytes_out = 0 }
  for field, amount in pairs(use) do sum[field] = sum[field] + amount end
  total.io[effect] = sum
end
if A.usage.fuel then total.fuel = (total.fuel or 0) + A.usage.fuel end
run.progress, run.error = A.progress or run.progress, A.error
if A.retry_at and not run.cancel then
  run.state, run.not_before = 'retrying', A.retry_at
  if NOW < A.retry_at then
    move(run, 'later')
  else
    move(run, 'ready')
    tell_queued()
  end
  local last = note(run, false)
  if last then keep_last(jkey(run.tenant, run.job), last) end
else
  run.result, run.outcome = A.result, A.outcome
  end_run(run)
  return done({ state = 'done', ended = run.job })
end
return done({ state = 'done' })

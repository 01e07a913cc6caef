-- Ends the current attempts of runs.
--
-- Args: ends = { { run, tenant, fence, outcome, lines (how many of the log's JSON lines), size (their
-- bytes, the next of ARGV[3]), usage, { result (JSON text), digest, retry_at, error, progress } } },
-- text (the time, for people).
-- Answer: { ends = { { state = done | already | fenced | unknown, ended = its job, when the run is
-- over } } }, in order. Errors: GEN. O(ends * log N).
-- A session that is over may still ask: it is told `fenced`.
local refused = guard(false)
if refused then return refused end
local counter = call('HGET', SES, A.session)
local lives = counter and counter ~= 'dead'
-- Slots that are free now, by job and creation; they are filled when all have ended.
local freed, order = {}, {}

local function end_of(id, tenant, fence, outcome, lines, text, usage, said)
  local rk = id .. tenant
  local run = live_run(rk)
  if not run then
    local past = past_run(rk)
    if not past then return { state = 'unknown' } end
    return { state = finished_before(past, A.session, fence, outcome) }
  end
  if not lives or run.place ~= 'held' or run.holder ~= A.session
    or current_fence(run) ~= fence then
    return { state = finished_before(run, A.session, fence, outcome) }
  end
  release(run, usage)
  append(rk, text, lines)
  local attempt = run.attempts[#run.attempts]
  attempt.digest, attempt.finished_at, attempt.outcome = said.digest, NOW, outcome
  attempt.error, attempt.usage = said.error, usage
  local total = run.usage
  total.wall_ms = total.wall_ms + usage.wall_ms
  total.cpu_ms = total.cpu_ms + usage.cpu_ms
  total.waited_ms = (total.waited_ms or 0) + usage.waited_ms
  total.host_calls = total.host_calls + usage.host_calls
  for effect, use in pairs(usage.io or {}) do
    -- Calls, bytes in, bytes out. Without any call there is no table: an empty one would be a list.
    total.io = total.io or {}
    local sum = total.io[effect] or {}
    total.io[effect] = {
      (sum[1] or sum.calls or 0) + use.calls,
      (sum[2] or sum.bytes_in or 0) + use.bytes_in,
      (sum[3] or sum.bytes_out or 0) + use.bytes_out,
    }
  end
  total.peak_memory_bytes = math.max(total.peak_memory_bytes, usage.peak_memory_bytes)
  if usage.fuel then total.fuel = (total.fuel or 0) + usage.fuel end
  spend_attempt(run, usage)
  run.progress, run.error = said.progress or run.progress, said.error
  local jk = job_of(run)
  if said.retry_at and not run.cancel then
    run.state, run.not_before = 'retrying', said.retry_at
    if NOW < said.retry_at then
      move(run, 'later')
    else
      move(run, 'ready')
      tell_queued()
    end
    if note(run, false) then keep_last(jk) end
    return { state = 'done' }
  end
  run.result, run.outcome = said.result, outcome
  end_in_slot(run)
  local of_job = freed[jk] or {}
  freed[jk] = of_job
  if not of_job[run.uid] then
    of_job[run.uid] = true
    order[#order + 1] = { jk, run.tenant, run.uid }
  end
  return { state = 'done', ended = run.job }
end

local from, answers = 1, {}
for i, row in ipairs(A.ends) do
  local id, tenant, fence, outcome, lines, size, usage, said = unpack(row, 1, 8)
  local text = string.sub(ARGV[3], from, from + size - 1)
  from = from + size
  answers[i] = end_of(id, tenant, fence, outcome, lines, text, usage, said)
end
for _, creation in ipairs(order) do fill_slots(unpack(creation)) end
return done({ ends = answers })

-- Shared by scripts that move runs: where a live run is, its slot, its end.
--
-- A live run's record is the run, `place` = later | put_off | backlog | ready | held, and `holder`, the
-- session of a held one. In scripts both are fields of the run. What is `put_off` waits for a time like
-- `later`, and has had its slot from before.

-- Lines kept of one run's log; attempts kept in its record; how late is late.
local MAX_LOG_LINES, MAX_ATTEMPTS_KEPT, LATE_AFTER_US = 20000, 10, 1000000

local function unpack_live(raw)
  local run, place, holder = read.run(raw)
  run.place, run.holder = place, holder
  return run
end

local function live_run(rk)
  local raw = field(LIVE, rk)
  return raw and unpack_live(raw) or nil
end

local function past_run(rk)
  local raw = field(PAST, rk)
  return raw and (read.run(raw)) or nil
end

local function pack_run(run)
  return enc(bare.run(run))
end

-- Answers the run as it is packed.
local function put_live(run)
  local packed = pack_run(run)
  put_field(LIVE, rkey(run), packed .. enc(run.place, run.holder))
  return packed
end

local function keep_live(run)
  local packed = put_live(run)
  tell('run', run.tenant, run.id)
  return packed
end

local function class_of(run)
  return run.tenant .. '/' .. run.queue .. '/' .. run.plugin .. '\0'
end

-- Higher priority first, then the older fire time.
local function queue_place(run)
  return class_of(run) .. (9 - math.min(run.priority, 9)) .. sortable(run.fire_time) .. run.id
end

-- Live runs of a job by creation: `s` those that count as instances, `w` those that wait for a slot,
-- first made first, `z` those that wait for a time and have no slot.
local function live_place(run)
  local creation = job_of(run) .. '\0' .. run.uid
  if run.place == 'backlog' then
    return creation .. 'w' .. sortable(run.queued_at) .. sortable(run.fire_time) .. run.id
  elseif run.place == 'later' and #run.attempts == 0 then
    return creation .. 'z' .. run.id
  end
  return creation .. 's' .. run.id
end

local function count_of(jk, uid, kind)
  local creation = jk .. '\0' .. uid .. kind
  return call('ZLEXCOUNT', JOB_LIVE, '[' .. creation, '(' .. creation .. 'g')
end

-- How many live runs count as instances of this creation of a job, and how many wait for a slot.
local function taken(jk, uid) return count_of(jk, uid, 's') end
local function waiting(jk, uid) return count_of(jk, uid, 'w') end

-- Live runs at most. What is left of a removed job runs one by one.
local function limit_of(jk, uid)
  local plan = schedule_of(jk)
  if plan and plan.uid == uid then return plan.max_instances end
  return 1
end

local function enter(run, place, holder)
  run.place, run.holder = place, holder
  if place == 'later' or place == 'put_off' then
    call('ZADD', LATER, number(run.not_before), rkey(run))
  elseif place == 'ready' then
    put_place(READY, queue_place(run))
    count_ready(run.tenant, 1)
  elseif place == 'held' then
    put_place(OWN, holder .. rkey(run))
  end
end

local function exit(run)
  if run.place == 'later' or run.place == 'put_off' then
    call('ZREM', LATER, rkey(run))
  elseif run.place == 'ready' then
    drop_place(READY, queue_place(run))
    count_ready(run.tenant, -1)
  elseif run.place == 'held' then
    drop_place(OWN, run.holder .. rkey(run))
  end
end

local function deadline_of(run)
  if run.verdict or not run.start_by then return nil end
  return run.start_by.at
end

local function age_place(run)
  return sortable(run.queued_at) .. rkey(run)
end

-- The lists that a run is found by, live or done.
local function list_run(run)
  local jk, made_at = job_of(run), sortable(run.queued_at)
  put_place(BY_AGE, made_at .. rkey(run))
  put_place(JOB_RUN, jk .. '\0' .. made_at .. run.id)
  if run.cause == 'schedule' then
    put_place(JOB_FIRE, jk .. '\0' .. sortable(run.fire_time) .. run.id)
  end
end

-- A new live run: its record, its place, and the lists that it is found by.
local function insert_live(run, place, holder)
  local deadline = deadline_of(run)
  if deadline then call('ZADD', DEADLINE, number(deadline), rkey(run)) end
  enter(run, place, holder)
  call('ZADD', JOB_LIVE, '0', live_place(run))
  put_place(LIVE_AGE, age_place(run))
  list_run(run)
  count_live(run.tenant, 1)
  keep_live(run)
end

-- Nobody is told.
local function shift(run, place, holder)
  local before = live_place(run)
  exit(run)
  enter(run, place, holder)
  local after = live_place(run)
  if before ~= after then
    call('ZREM', JOB_LIVE, before)
    call('ZADD', JOB_LIVE, '0', after)
  end
  return put_live(run)
end

local function move(run, place, holder)
  local packed = shift(run, place, holder)
  tell('run', run.tenant, run.id)
  return packed
end

-- Where a run that never started belongs.
local function place_for_new(run, now)
  if run.not_before and now < run.not_before then return 'later' end
  local jk = job_of(run)
  return taken(jk, run.uid) < limit_of(jk, run.uid) and 'ready' or 'backlog'
end

-- Keeps the job's last run in step with `run`: `made` makes it the last one.
local function note(run, made)
  local jk = job_of(run)
  local last = last_of(jk, run.uid)
  if not last then return nil end
  if run.outcome == 'succeeded'
    and (not last.previous_success or last.previous_success < run.fire_time) then
    last.previous_success = run.fire_time
  end
  if made or not last.run or last.run == run.id then
    last.run, last.at, last.state, last.outcome = run.id, NOW, run.state, run.outcome
  end
  return last
end

local FAILURE = {
  failed = true, timed_out = true, out_of_fuel = true, out_of_memory = true, trapped = true,
  limit_exceeded = true, abandoned = true,
}

-- Counts runs in a row that did not succeed, and pauses the job when its rules say so.
local function count_failures(run, last)
  local jk = job_of(run)
  if run.outcome == 'succeeded' then
    last.failures = 0
  elseif FAILURE[run.outcome] then
    last.failures = last.failures + 1
    local plan = schedule_of(jk)
    local most = plan and plan.rules.pause_after_failures
    if most and most <= last.failures and not plan.pause then
      plan.version = plan.version + 1
      plan.pause = {
        by = 'pause_after_failures',
        why = number(last.failures) .. ' runs in a row did not succeed, the last at ' .. A.text,
      }
      keep_schedule(jk, plan)
      tell('job', run.tenant, run.job)
    end
  end
end

-- Lets runs out of a job's backlog while it has free slots.
local function fill_slots(jk, tenant, uid)
  local free
  local backlog = jk .. '\0' .. uid .. 'w'
  while true do
    local first = call('ZRANGEBYLEX', JOB_LIVE, '[' .. backlog, '(' .. backlog .. 'g', 'LIMIT', '0', '1')[1]
    if not first then return end
    free = free or limit_of(jk, uid) - taken(jk, uid)
    if free <= 0 then return end
    free = free - 1
    local run = live_run(string.sub(first, -32) .. tenant)
    if run then
      move(run, 'ready')
      tell_queued()
    else
      call('ZREM', JOB_LIVE, first)
    end
  end
end

-- A done run by its end, the least the oldest.
local function done_place(run)
  return job_of(run) .. '\0' .. sortable(run.finished_at)
    .. sortable(run.queued_at) .. run.id
end

-- Ends a run: what it became is in the record but for its state and end. Its slot is free, and the
-- caller lets the next one in.
local function end_in_slot(run)
  local rk, jk = rkey(run), job_of(run)
  if run.start_by then call('ZREM', DEADLINE, rk) end
  exit(run)
  call('ZREM', JOB_LIVE, live_place(run))
  drop_field(LIVE, rk)
  drop_place(LIVE_AGE, age_place(run))
  count_live(run.tenant, -1)
  run.place, run.holder, run.not_before = nil, nil, nil
  run.state, run.finished_at = 'done', NOW
  put_field(PAST, rk, pack_run(run))
  local place = done_place(run)
  put_place(JOB_DONE, place)
  if run.args or run.result or field(LINES, rk) then put_place(JOB_BODY, place) end
  spend_run(run)
  tell('run', run.tenant, run.id)
  local last = note(run, false)
  if last then
    count_failures(run, last)
    keep_last(jk)
  end
end

local function end_run(run)
  end_in_slot(run)
  fill_slots(job_of(run), run.tenant, run.uid)
end

-- Ends a run that never started; `why` says so in words, when the reason does not say it all.
local function drop(run, verdict, reason, cancel, why)
  run.verdict, run.reason = verdict, reason
  if cancel then run.cancel = cancel end
  if why then run.error = { message = why, retryable = false } end
  end_run(run)
end

-- Ends a waiting run, or asks that a running one be stopped. Answers 'ended', 'asked', or nil when
-- it is not live.
local function stop(rk, why, reason)
  local run = live_run(rk)
  if not run then return nil end
  if run.place == 'held' then
    if not run.cancel then
      run.cancel = why
      keep_live(run)
    end
    tell('cancel', run.tenant, run.id)
    return 'asked'
  end
  if run.verdict then
    run.cancel, run.outcome = why, 'cancelled'
    end_run(run)
  else
    drop(run, 'cancelled', reason, why)
  end
  return 'ended'
end

-- Runs looked at by one call whose time has come.
local WAKE_AT_ONCE = 128

-- Those of a list whose time is below `bound`: by time, tenant and run, as tenants come to wait anew.
local function ripe_of(list, bound)
  local found = call('ZRANGEBYSCORE', list, '-inf', bound, 'WITHSCORES', 'LIMIT', 0, WAKE_AT_ONCE)
  local ripe, order = {}, {}
  for i = 1, #found, 2 do
    local rk = found[i]
    ripe[#ripe + 1] = rk
    order[rk] = sortable(tonumber(found[i + 1])) .. string.sub(rk, 33) .. '\0' .. rk
  end
  if #ripe > 1 then table.sort(ripe, function(a, b) return order[a] < order[b] end) end
  return ripe
end

-- Lets runs go on whose time has come, and gives up those that should have started.
local function wake()
  for _, rk in ipairs(ripe_of(DEADLINE, '(' .. number(DUE_BY))) do
    call('ZREM', DEADLINE, rk)
    local run = live_run(rk)
    if run and not run.verdict and run.start_by then
      drop(run, run.start_by.verdict, run.start_by.reason)
    end
  end
  for _, rk in ipairs(ripe_of(LATER, number(DUE_BY))) do
    local run = live_run(rk)
    if run then
      local has_slot = #run.attempts > 0 or run.place == 'put_off'
      shift(run, has_slot and 'ready' or place_for_new(run, DUE_BY))
      tell_queued()
    else
      call('ZREM', LATER, rk)
    end
  end
end

-- When `wake` has something to do next.
local function next_wake()
  local ripe = call('ZRANGE', LATER, 0, 0, 'WITHSCORES')[2]
  local late = call('ZRANGE', DEADLINE, 0, 0, 'WITHSCORES')[2]
  local first = ripe and tonumber(ripe)
  if late and (not first or tonumber(late) + 1 < first) then first = tonumber(late) + 1 end
  return first
end

local fence

-- Starts the next attempt of a run that has a slot: its record, not yet kept.
local function begin_attempt(run)
  fence = math.max(tonumber(fence or last_fence) + 1, NOW)
  admit(run)
  run.state, run.started_at, run.not_before = 'running', NOW, nil
  run.attempt = run.attempt + 1
  if not run.verdict then
    if run.start_by then call('ZREM', DEADLINE, rkey(run)) end
    run.verdict = 'ran'
    local late = run.due_at + LATE_AFTER_US < NOW
    local waited = run.reason == 'no_plugin' or run.reason == 'rate_limit'
    if waited or run.reason == 'on_time' and late then run.reason = 'late' end
  end
  if #run.attempts >= MAX_ATTEMPTS_KEPT then table.remove(run.attempts, 1) end
  run.attempts[#run.attempts + 1] = {
    attempt = run.attempt, fence = fence, session = A.session, host = A.host, started_at = NOW,
    usage = { wall_ms = 0, cpu_ms = 0, waited_ms = 0, peak_memory_bytes = 0, host_calls = 0 },
  }
end

-- Keeps the last fence that was given out; once, after the last attempt was begun.
local function keep_fence()
  if fence then put_field(META, 'fence', number(fence)) end
end

local function current_fence(run)
  local last = run.attempts[#run.attempts]
  return last and last.fence
end

-- Whether this very end was noted before, and only its answer was lost.
local function finished_before(run, session, of_fence, outcome)
  for _, attempt in ipairs(run.attempts) do
    if attempt.session == session and attempt.fence == of_fence and attempt.outcome == outcome then
      return 'already'
    end
  end
  return 'fenced'
end

-- Adds lines (a text of JSON lines, each with its line end) to a run's log, as far as there is room.
local function append(rk, text, lines)
  if lines == 0 then return end
  local before = tonumber(field(LINES, rk) or 0)
  local room = MAX_LOG_LINES - before
  if room <= 0 then return end
  if lines > room then
    local position = 0
    for _ = 1, room do position = string.find(text, '\n', position + 1, true) end
    text, lines = string.sub(text, 1, position), room
  end
  put_field(LINES, rk, number(before + lines))
  put_field(LOG, rk, (field(LOG, rk) or '') .. text)
end

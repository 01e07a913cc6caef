-- Moves jobs' cursors, making the runs and ranges that stand for the fire times passed.
--
-- Args: host, intents = { { tenant, job, uid, version, expect, fires = { { id, fire_time, due_at,
-- reason, covers, start_by, wait, spec } }, ranges, cursor, due_at, trigger_state, claim } }; `spec` is
-- what the run takes over from its job, absent when it is that of the fire before.
-- Answer: { now, intents = { { lost } | { queued = { ids }, claimed = { { id, fence, reason,
-- admitted } }, skipped, over_quota = { times }, schedule = packed as it is kept } } }, in order, each
-- whole or not at all. Errors: GEN, FENCED. O(fires * log N).
-- The caller has checked that fires and ranges ascend, are past, and account for the move.
local refused = guard(true)
if refused then return refused end

-- The fires as runs: { run, wait }.
local function fires_of(intent)
  local fires, spec = {}, nil
  for i, row in ipairs(intent.fires) do
    spec = row[8] or spec
    fires[i] = {
      wait = row[7],
      run = {
        id = row[1], tenant = intent.tenant, job = intent.job, uid = intent.uid,
        plugin = spec.plugin, handler = spec.handler, cause = 'schedule', fire_time = row[2],
        due_at = row[3], state = 'queued', reason = row[4], covers = row[5], attempt = 0,
        rescues = 0, attempts = {}, queue = spec.queue, priority = spec.priority,
        delivery = spec.delivery, max_rescues = spec.max_rescues, start_by = row[6],
        queued_at = NOW, memory = spec.memory,
        usage = { wall_ms = 0, cpu_ms = 0, waited_ms = 0, peak_memory_bytes = 0, host_calls = 0 },
      },
    }
  end
  return fires
end

-- With `overlap = "replace"`, ends what stands in the way of new fires at the limit.
local function make_room(jk, plan, intent)
  local wants = 0
  for _, fire in ipairs(intent.fires) do
    if not fire.wait then wants = wants + 1 end
  end
  local missing = taken(jk, plan.uid) + wants - plan.max_instances
  if missing <= 0 then return end
  local rivals = {}
  local function consider(id)
    local run = live_run(id .. intent.tenant)
    if run and run.cause == 'schedule' and not run.cancel then rivals[#rivals + 1] = run end
  end
  local creation = jk .. '\0' .. plan.uid
  local members = call('ZRANGEBYLEX', JOB_LIVE, '[' .. creation .. 's', '(' .. creation .. 'x')
  for _, member in ipairs(members) do consider(string.sub(member, -32)) end
  table.sort(rivals, function(a, b)
    if (a.verdict == nil) ~= (b.verdict == nil) then return a.verdict == nil end
    if a.fire_time ~= b.fire_time then return a.fire_time < b.fire_time end
    return a.id < b.id
  end)
  for i = 1, math.min(missing, #rivals) do
    stop(rkey(rivals[i]), 'a newer fire took its place', 'replaced')
  end
end

-- What stands for the fire times passed, in order: { first, fire = , fate = } or { first, range = }.
-- What was to be coalesced into a run that is skipped is skipped with it.
local function entries_of(jk, plan, intent)
  local free = math.max(plan.max_instances - taken(jk, plan.uid), 0)
  local line, skipped, entries = nil, {}, {}
  local allotment = allotment_of(intent.tenant)
  local out = allotment.has_windows and used_up(account_of(intent.tenant), allotment, true)
  for _, fire in ipairs(intent.fires) do
    local fate, why = 'slot', nil
    if out then
      fate, why = 'quota', out.key
    elseif free == 0 then
      fate = 'backlog'
      if not fire.wait and plan.rules.overlap == 'skip' then
        fate, why = 'skip', 'max_instances'
      elseif not fire.wait and plan.rules.overlap == 'queue' then
        line = line or waiting(jk, plan.uid)
        if plan.rules.queue_limit <= line then fate, why = 'skip', 'queue_limit' end
      end
    end
    if fate == 'slot' then
      free = free - 1
    elseif fate == 'backlog' then
      line = (line or waiting(jk, plan.uid)) + 1
    else
      skipped[fire.run.id] = { fate == 'quota' and 'quota' or 'skipped', why }
    end
    entries[#entries + 1] = { first = fire.run.fire_time, fire = fire, fate = fate, why = why }
  end
  for _, range in ipairs(intent.ranges) do
    local with = range.into and skipped[range.into]
    if with then range.verdict, range.reason, range.into = with[1], with[2], nil end
    entries[#entries + 1] = { first = range.first, range = range }
  end
  table.sort(entries, function(a, b) return a.first < b.first end)
  return entries
end

local function fire_one(intent)
  local jk = jkey(intent.tenant, intent.job)
  local plan = schedule_of(jk)
  if not plan or plan.uid ~= intent.uid or plan.version ~= intent.version
    or plan.cursor ~= intent.expect then
    return { lost = true }
  end
  intent.fires = fires_of(intent)
  if #intent.fires > 0 and (plan.pause or plan.parked) then return { lost = true } end
  for _, fire in ipairs(intent.fires) do
    if DUE_BY < fire.run.due_at then return { lost = true } end
  end
  if plan.rules.overlap == 'replace' then
    make_room(jk, plan, intent)
    plan = schedule_of(jk)
  end
  local answer = { queued = {}, claimed = {}, skipped = {}, over_quota = {} }
  local last_fire, runs = plan.last_fire, {}
  for _, entry in ipairs(entries_of(jk, plan, intent)) do
    if entry.range then
      last_fire = add_range(intent.tenant, intent.job, plan.uid, last_fire, entry.range)
    elseif entry.fate == 'skip' or entry.fate == 'quota' then
      local time, verdict, list = entry.first, 'skipped', answer.skipped
      if entry.fate == 'quota' then verdict, list = 'quota', answer.over_quota end
      list[#list + 1] = time
      last_fire = add_range(intent.tenant, intent.job, plan.uid, last_fire,
        { verdict = verdict, reason = entry.why, first = time, last = time, count = 1 })
    else
      last_fire = entry.first
      runs[#runs + 1] = entry
    end
  end
  plan.cursor, plan.due_at = intent.cursor, intent.due_at
  plan.trigger_state, plan.last_fire = intent.trigger_state, last_fire
  local last
  for _, entry in ipairs(runs) do
    local run = entry.fire.run
    local claimed = #answer.claimed < intent.claim and entry.fate == 'slot'
      and run.reason ~= 'no_plugin' and not is_full(run.queue) and not plan.rules.rate_limit
      and not judge(run)
    if claimed then
      begin_attempt(run)
      count_begun(run)
      insert_live(run, 'held', A.session)
      answer.claimed[#answer.claimed + 1] = { run.id, fence, run.reason or NIL,
        bare.admitted(run.admitted) }
    else
      insert_live(run, entry.fate == 'slot' and 'ready' or 'backlog')
      answer.queued[#answer.queued + 1] = run.id
    end
    last = last or last_of(jk, plan.uid)
    if last then last.run, last.at, last.state, last.outcome = run.id, NOW, run.state, nil end
  end
  keep_schedule(jk, plan)
  tell('fired', intent.tenant, intent.job)
  if #answer.queued > 0 then tell_queued() end
  if #answer.claimed > 0 then answer.schedule = packed_schedule(jk) end
  return answer
end

wake()
local answers = {}
for i, intent in ipairs(A.intents) do answers[i] = fire_one(intent) end
keep_fence()
return done({ now = NOW, intents = answers })

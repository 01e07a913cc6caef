-- Takes over what another store exported. From `begin` to `end` no host can attach.
--
-- Args: step = begin | records | end.
-- records: fence (none may be lower), jobs = { { tenant, job, plan, last, def } }, runs = { { run,
-- log, lines } }, ranges = { as they are kept }, windows = { { tenant, windows } }, documents = { { key, version, size } } (their bytes
-- follow one another in ARGV[3]), counters = { { key, value as text } }, buckets = { { key, key by age,
-- sums } }. May be repeated.
-- end: after (the `next` of the call before), most: live runs looked at in one call.
-- Answer: { held = { jobs, runs, ranges, documents, counters,
-- buckets } } when there is something already,
-- { next } while `end` is to be called again, or {}. Errors: GEN, UNFIT.
-- O(keys) for begin, O(records * log N) else.
local refused = guard(false)
if refused then return refused end
local is_importing = call('HGET', META, 'importing') == '1'

if A.step == 'begin' then
  local held = { call('HLEN', PLAN), call('HLEN', LIVE) + call('HLEN', PAST), call('HLEN', RANGE),
    call('HLEN', DOC), call('HLEN', COUNTER), call('HLEN', USED) }
  local all = 0
  for _, count in ipairs(held) do all = all + count end
  if not is_importing and all > 0 then return done({ held = held }) end
  call('UNLINK', DEF, PLAN, JOB, DUE, LIVE, PAST, JOB_LIVE, READY, LATER, DEADLINE, OWN, SES, HOST,
    BY_AGE, LIVE_AGE, JOB_RUN, JOB_FIRE, JOB_DONE, JOB_BODY)
  call('UNLINK', RANGE, RANGE_OPEN, RANGE_JOB, RANGE_AGE, LOG, LINES, DOC, DOC_KEY, COUNTER,
    USED, USED_BY, USED_AGE, ALLOT, ACCOUNT, RUNNING, WAITING, SERVES)
  call('HDEL', META, 'tag', 'allot', 'allot_by')
  -- Whoever is attached has to attach again, and is refused.
  call('HINCRBY', META, 'gen', 1)
  call('HSET', META, 'importing', '1')
  return done({ begun = true })
end

if A.step == 'records' and not is_importing then return refuse('UNFIT', 'no import has begun') end

local function take_job(row)
  local jk = jkey(row.tenant, row.job)
  row.plan.uid = row.last.uid
  call('HSET', DEF, jk, head_of(row.plan) .. row.def)
  call('ZADD', JOB, 0, jk)
  keep_new_schedule(jk, row.plan, row.last)
end

-- Those that started keep their slots; of the others, who starts is found out in the end.
local function take_live(run)
  -- It came before, and the answer was lost.
  if field(LIVE, rkey(run)) then return end
  local place, holder = 'backlog', nil
  local last = run.attempts[#run.attempts]
  if run.state == 'running' then
    place, holder = 'held', last.session
    call('HSETNX', SES, holder, 'dead')
    call('HSETNX', HOST, holder,
      enc({ host = last.host, schedules = false, since = NOW, beat_at = NOW, offset = 0 }))
  elseif run.not_before and (run.state == 'retrying' or not last) then
    place = not last and run.reason == 'rate_limit' and 'put_off' or 'later'
  elseif last then
    place = 'ready'
  end
  if holder and run.admitted then restore(run) end
  insert_live(run, place, holder)
end

local function take_done(run, lines)
  put_field(PAST, rkey(run), pack_run(run))
  list_run(run)
  put_place(JOB_DONE, done_place(run))
  if run.args or run.result or lines > 0 then put_place(JOB_BODY, done_place(run)) end
end

local function take_range(kept)
  keep_range(kept)
  if tonumber(call('HGET', META, 'range')) < kept.id then
    call('HSET', META, 'range', number(kept.id))
  end
  -- Of jobs that are no more, none grows.
  local plan = schedule_of(jkey(kept.tenant, kept.job))
  if plan and plan.uid == kept.uid
    and tonumber(call('HGET', RANGE_OPEN, kept.uid) or 0) <= kept.id then
    call('HSET', RANGE_OPEN, kept.uid, number(kept.id))
  end
end

local answer = { taken = true }
if A.step == 'records' then
  if tonumber(call('HGET', META, 'fence')) < A.fence then
    call('HSET', META, 'fence', number(A.fence))
  end
  for _, row in ipairs(A.jobs) do take_job(row) end
  for _, row in ipairs(A.runs) do
    local rk = rkey(row.run)
    if row.lines > 0 then
      call('HSET', LINES, rk, number(row.lines))
      call('HSET', LOG, rk, row.log)
    end
    if row.run.state == 'done' then take_done(row.run, row.lines) else take_live(row.run) end
  end
  for _, kept in ipairs(A.ranges) do take_range(kept) end
  for _, row in ipairs(A.windows) do
    local account = account_of(row[1])
    open_windows(account)
    for name, value in pairs(row[2]) do account[name] = value end
    account.is_changed = true
  end
  local from = 1
  for _, row in ipairs(A.documents) do
    local value = string.sub(ARGV[3], from, from + row.size - 1)
    from = from + row.size
    call('HSET', DOC, row.key, number(row.version) .. '\n' .. value)
    call('ZADD', DOC_KEY, 0, row.key)
  end
  for _, row in ipairs(A.counters) do call('HSET', COUNTER, row[1], row[2]) end
  for _, row in ipairs(A.buckets) do
    put_field(USED, row[1], enc(row[3]))
    put_place(USED_BY, row[1])
    put_place(USED_AGE, row[2])
  end
elseif is_importing then
  local start = A.after and '(' .. A.after or '-'
  local live = call('ZRANGEBYLEX', JOB_LIVE, start, '+', 'LIMIT', 0, A.most)
  for _, member in ipairs(live) do
    local jk, tenant = string.match(member, '^((%Z*)%z%Z*)%z')
    local uid, kind = string.match(member, '^(' .. string.rep('%x', 32) .. ')(.)', #jk + 2)
    if kind == 'w' then fill_slots(jk, tenant, uid) end
  end
  if #live == A.most then
    answer.next = live[#live]
  else
    call('HDEL', META, 'importing')
  end
end
-- Nobody listens: who comes reads everything.
news, hints = {}, {}
return done(answer)

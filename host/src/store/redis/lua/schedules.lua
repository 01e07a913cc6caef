-- Shared by scripts that touch schedules: the planning record of a job, its last run, and what it is
-- due by.
--
-- Both are one field, `last` and then `plan`, so that a run's end need not unpack the plan. The uid is
-- kept in `last` alone.

local unpack_one = cmsgpack.unpack_one

-- By job: { last, packed = the packed plan, plan, is_new }, or false when there is none.
local schedules = {}

local function kept_of(jk)
  local known = schedules[jk]
  if known == nil then
    local raw = call('HGET', PLAN, jk)
    known = false
    if raw then
      local length, last = unpack_one(raw)
      known = { last = read.last(last), packed = string.sub(raw, length + 1) }
    end
    schedules[jk] = known
  end
  return known
end

-- What a definition is kept with: the creation of its job and the version it was written with.
local function head_of(plan)
  return string.sub(plan.uid, -8) .. number(plan.def_version) .. '\n'
end

-- The planning record of a job, or nil. Read once in a script.
local function schedule_of(jk)
  local known = kept_of(jk)
  if not known then return nil end
  if not known.plan then
    known.plan = read.plan(dec(known.packed))
    known.plan.uid = known.last.uid
  end
  return known.plan
end

-- Both as they are kept; empty when there is no such job.
local function packed_schedule(jk)
  local known = kept_of(jk)
  if not known then return '' end
  known.packed = known.packed or enc(bare.plan(known.plan))
  return enc(bare.last(known.last)) .. known.packed
end

before_write[1] = function()
  for jk, known in pairs(schedules) do
    if known and known.is_new then
      put_field(PLAN, jk, packed_schedule(jk))
      known.is_new = false
    end
  end
end

-- When a schedule is to be looked at: when it is due, or when its pause is over.
local function due_key(plan)
  if plan.parked then return nil end
  if plan.pause then return plan['pause']['until'] end
  return plan.due_at
end

local function keep_schedule(jk, plan)
  local known = schedules[jk]
  known.plan, known.packed, known.is_new = plan, nil, true
  known.last.rated = plan.rules.rate_limit ~= nil
  local due = due_key(plan)
  if due then
    call('ZADD', DUE, number(due), jk)
  else
    call('ZREM', DUE, jk)
  end
end

local function keep_new_schedule(jk, plan, last)
  schedules[jk] = { last = last }
  keep_schedule(jk, plan)
end

-- The last run of this creation of a job and its failures in a row, or nil.
local function last_of(jk, uid)
  local known = kept_of(jk)
  if known and known.last.uid == uid then return known.last end
  return nil
end

-- What `last_of` answered was changed.
local function keep_last(jk)
  schedules[jk].is_new = true
end

-- The windows of a job's `rate_limit`. `last` says whether there is one, so that a run that begins need
-- not unpack the plan to learn that there is none.
local function rate_of(jk)
  local known = kept_of(jk)
  if not known or not known.last.rated then return nil end
  local rate = schedule_of(jk).rules.rate_limit
  local length = rate.per == 's' and 1000000 or rate.per == 'm' and 60000000 or 3600000000
  return known.last, rate, NOW - NOW % length, length
end

-- When a run that has not begun may, if its job's `rate_limit` lets none begin now.
local function rate_full_until(run)
  if run.verdict then return nil end
  local last, rate, since, length = rate_of(job_of(run))
  local begun = last and last.begun
  if not begun or begun.since ~= since or begun.runs < rate.runs then return nil end
  return since + length
end

-- Counts a run of a job with a `rate_limit` that begins.
local function count_begun(run)
  if run.attempt ~= 1 then return end
  local jk = job_of(run)
  local last, _, since = rate_of(jk)
  if not last then return end
  local runs = last.begun and last.begun.since == since and last.begun.runs or 0
  last.begun = { since = since, runs = runs + 1 }
  keep_last(jk)
end

-- A cursor has a due time, not before it, and lies after what is accounted for.
local function check_cursor(cursor, due_at, last_fire)
  if not cursor and not due_at then return nil end
  if not cursor or not due_at or due_at < cursor then
    return 'a cursor and its due time go together, and it is not due before itself'
  end
  if last_fire and cursor <= last_fire then
    return 'the cursor may not go back to the last fire time'
  end
  return nil
end

-- Ranges ascend, hold only what is past and not accounted for, and lie within the cursor's move.
-- `from` nil: from anywhere; with no schedule before it, `is_new`.
local function check_ranges(ranges, from, to, last_fire, is_new)
  local last = last_fire
  for _, range in ipairs(ranges) do
    local sound = range.first <= range.last and range.count > 0 and range.verdict ~= 'ran'
      and (not last or last < range.first)
      and (is_new or not from or from <= range.first)
      and (not to or range.last < to)
      and range.last <= NOW
    if not sound then
      return 'a range is empty, not past, or does not fit what is beside it'
    end
    last = range.last
  end
  return nil
end

-- The key of a range in the order of a job's fire times, and of when it was noted.
local function range_places(kept)
  local jk = jkey(kept.tenant, kept.job)
  local id = string.format('%016x', kept.id)
  return jk .. '\0' .. sortable(kept.range.last) .. id,
    jk .. '\0' .. sortable(kept.noted_at) .. id
end

local function keep_range(kept)
  local by_fire, by_age = range_places(kept)
  call('HSET', RANGE, kept.id, enc(kept))
  call('ZADD', RANGE_JOB, 0, by_fire)
  call('ZADD', RANGE_AGE, 0, by_age)
end

local function forget_range(kept)
  local by_fire, by_age = range_places(kept)
  call('HDEL', RANGE, kept.id)
  call('ZREM', RANGE_JOB, by_fire)
  call('ZREM', RANGE_AGE, by_age)
end

-- Adds a range to the ledger: as one of its own, or as growth of the range that is open. Answers
-- the new last fire time.
local function add_range(tenant, job, uid, last_fire, range)
  local id = call('HGET', RANGE_OPEN, uid)
  local open = id and dec(call('HGET', RANGE, id))
  if open and last_fire and open.range.last == last_fire and open.range.verdict == range.verdict
    and open.range.reason == range.reason and not open.range.into and not range.into then
    forget_range(open)
    open.range.last = range.last
    open.range.count = open.range.count + range.count
    open.noted_at = NOW
    keep_range(open)
    return range.last
  end
  local new = call('HINCRBY', META, 'range', 1)
  keep_range({ id = new, tenant = tenant, job = job, uid = uid, range = range, noted_at = NOW })
  call('HSET', RANGE_OPEN, uid, new)
  return range.last
end

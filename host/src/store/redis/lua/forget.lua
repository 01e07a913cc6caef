-- Forgets what need not be kept any longer; whatever is live stays.
--
-- Args: runs = { keys }, bodies = { keys } (runs that stay without log, arguments, result),
-- ranges = { { id, last } } (not those that grew), buckets = { { key, key by age } }, docs = { keys },
-- counters = { keys }. Answer: { records, bodies }. Errors: GEN. O(records * log N).
local refused = guard(false)
if refused then return refused end
local records, bodies = 0, 0

local function forget_body(rk, run)
  drop_field(LOG, rk)
  drop_field(LINES, rk)
  drop_place(JOB_BODY, done_place(run))
end

for _, rk in ipairs(A.bodies) do
  local run = past_run(rk)
  if run then
    run.args, run.result = nil, nil
    forget_body(rk, run)
    put_field(PAST, rk, pack_run(run))
    bodies = bodies + 1
  end
end
for _, rk in ipairs(A.runs) do
  local run = past_run(rk)
  if run then
    local jk = job_of(run)
    forget_body(rk, run)
    drop_field(PAST, rk)
    drop_place(BY_AGE, age_place(run))
    drop_place(JOB_RUN, jk .. '\0' .. sortable(run.queued_at) .. run.id)
    drop_place(JOB_FIRE, jk .. '\0' .. sortable(run.fire_time) .. run.id)
    drop_place(JOB_DONE, done_place(run))
  end
  records = records + 1
end
for _, mark in ipairs(A.ranges) do
  local raw = call('HGET', RANGE, mark[1])
  local kept = raw and dec(raw)
  if kept and kept.range.last == mark[2] then
    forget_range(kept)
    -- It must not come back by growing.
    if tonumber(call('HGET', RANGE_OPEN, kept.uid)) == kept.id then
      call('HDEL', RANGE_OPEN, kept.uid)
    end
    records = records + 1
  end
end
for _, keys in ipairs(A.buckets) do
  drop_field(USED, keys[1])
  drop_place(USED_BY, keys[1])
  drop_place(USED_AGE, keys[2])
  records = records + 1
end
for _, key in ipairs(A.docs) do
  call('HDEL', DOC, key)
  call('ZREM', DOC_KEY, key)
  records = records + 1
end
if A.docs[1] then call('HINCRBY', META, 'docs', 1) end
for _, key in ipairs(A.counters) do
  call('HDEL', COUNTER, key)
  records = records + 1
end
return done({ records = records, bodies = bodies })

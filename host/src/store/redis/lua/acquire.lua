-- Takes queued runs of the classes wanted, higher priority first, then the older fire time.
--
-- Args: host, slots, classes (`tenant/queue/plugin`). Answer: { runs, plans = { { jk, schedule } } },
-- one for each run, both packed as they are kept.
-- Errors: GEN, FENCED. O((classes + slots) * log N).
local refused = guard(true)
if refused then return refused end
wake()
write()
local runs, plans = {}, {}
if A.slots > 0 and call('ZCARD', READY) > 0 then
  local best = {}
  for _, class in ipairs(A.classes) do
    local prefix = class .. '\0'
    local found = call('ZRANGEBYLEX', READY, '[' .. prefix, '(' .. class .. '\1', 'LIMIT', 0, A.slots)
    local tenant = string.match(class, '^[^/]*')
    for _, member in ipairs(found) do
      local rank = string.sub(member, #prefix + 1)
      best[#best + 1] = { rank, string.sub(rank, 18) .. tenant }
    end
  end
  table.sort(best, function(a, b) return a[1] < b[1] end)
  for i = 1, math.min(#best, A.slots) do
    local run = live_run(best[i][2])
    if run then
      begin_attempt(run)
      runs[#runs + 1] = move(run, 'held', A.session)
      local jk = job_of(run)
      if note(run, false) then keep_last(jk) end
      plans[#plans + 1] = { jk, packed_schedule(jk) }
    end
  end
  keep_fence()
end
return done({ runs = runs, plans = plans })

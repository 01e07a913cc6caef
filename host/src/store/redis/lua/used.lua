-- Shared by scripts that end attempts and runs: what was used, by tenant, hour and job.
--
-- A bucket is a list of sums, in the order of PLACE_OF. It is kept under `tenant \0 hour job`; the job
-- is empty in the one that takes what comes when a tenant has BUCKETS_PER_HOUR of that hour.

local HOUR_US = 3600000000
local spend_attempt, spend_run
do
  -- By key: { at, sums, by_age, is_fresh, is_changed }. By tenant and hour: how many there are.
  local buckets, buckets_of = {}, {}

  local function bucket_of(tenant, job)
    local hour = sortable(NOW - NOW % HOUR_US)
    local of_hour = tenant .. '\0' .. hour
    local at = of_hour .. job
    local bucket = buckets[at]
    if bucket then return bucket end
    local raw = field(USED, at)
    if raw then
      bucket = { at = at, sums = dec(raw) }
    else
      local count = buckets_of[of_hour]
        or call('ZLEXCOUNT', USED_BY, '[' .. of_hour, '(' .. of_hour .. '\255')
      if job ~= '' and BUCKETS_PER_HOUR <= count then
        buckets_of[of_hour] = count
        bucket = bucket_of(tenant, '')
      else
        buckets_of[of_hour] = count + 1
        bucket = { at = at, sums = {}, by_age = hour .. tenant .. '\0' .. job, is_fresh = true }
        for place = 1, MEASURES do bucket.sums[place] = 0 end
      end
    end
    buckets[at] = bucket
    return bucket
  end

  local function spend(bucket, measure, amount)
    local place = PLACE_OF[measure]
    bucket.sums[place] = math.min(bucket.sums[place] + amount, MOST)
    bucket.is_changed = true
  end

  -- Adds what an attempt of the run used.
  function spend_attempt(run, usage)
    local bucket = bucket_of(run.tenant, run.job)
    spend(bucket, 'attempts', 1)
    spend(bucket, 'cpu_ms', usage.cpu_ms)
    spend(bucket, 'wall_ms', usage.wall_ms)
    spend(bucket, 'fuel', usage.fuel or 0)
    spend(bucket, 'memory_kib_ms', math.ceil(usage.peak_memory_bytes / 1024) * usage.wall_ms)
    spend(bucket, 'host_calls', usage.host_calls)
    for _, use in pairs(usage.io or {}) do
      -- As it comes, or as it is kept: calls, bytes in, bytes out.
      spend(bucket, 'bytes_in', use.bytes_in or use[2] or 0)
      spend(bucket, 'bytes_out', use.bytes_out or use[3] or 0)
    end
  end

  -- Counts a run that is done.
  function spend_run(run)
    if run.outcome then spend(bucket_of(run.tenant, run.job), run.outcome, 1) end
  end

  before_write[2] = function()
    for _, bucket in pairs(buckets) do
      if bucket.is_changed then
        put_field(USED, bucket.at, enc(bucket.sums))
        if bucket.is_fresh then
          put_place(USED_BY, bucket.at)
          put_place(USED_AGE, bucket.by_age)
        end
        bucket.is_changed, bucket.is_fresh = false, false
      end
    end
  end
end

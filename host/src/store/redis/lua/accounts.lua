-- Shared by scripts that move runs: what tenants and queues have, and what they may have. The rules are
-- those of `record::account`, and so are the numbers.
--
-- An account is kept as its values one after another; those of windows follow once there are any. What
-- a tenant may have is read only where some tenant or queue was allotted anything.

local MINUTE_US = 60000000
-- Where each key's windows are counted, how long they are, and how much of one must be left that
-- something may begin; in the order in which they are asked.
local window_keys
do
  -- Most tenants have no quotas by windows: it is made when it is asked for.
  local made
  function window_keys()
    made = made or {
      { 'runs_per_minute', 'runs', 'minute', MINUTE_US, 1 },
      { 'cpu_per_hour', 'cpu_ms', 'hour', HOUR_US, 10 },
      { 'fuel_per_hour', 'fuel', 'hour', HOUR_US, 20000000 },
      { 'http_per_hour', 'http', 'hour', HOUR_US, 1 },
      { 'http_bytes_per_hour', 'http_bytes', 'hour', HOUR_US, 1 },
    }
    return made
  end
end

local allotment_of, account_of, turn_of, count_ready, count_live, is_full, open_windows, turn_windows
local used_up, is_over, must_wait, judge, piece, admit, restore, release
do
  local PIECES, LEAST_COST_US, TAGS_A_US = 64, 100, 10
  local NO_ALLOTMENT = { weight = 1, limits = {} }

  -- By tenant; by queue, how many more run than when the script began.
  local accounts, allotments, begun_in = {}, {}, {}
  -- By queue, what may run and what did when the script began.
  local queue_limits, ran_in = nil, {}

  function allotment_of(tenant)
    if not allotted then return NO_ALLOTMENT end
    local allotment = allotments[tenant]
    if not allotment then
      local raw = call('HGET', ALLOT, tenant)
      allotment = raw and dec(raw) or NO_ALLOTMENT
      allotments[tenant] = allotment
    end
    return allotment
  end

  -- As what a tenant stands among those that wait; nil when none of its runs may begin.
  function turn_of(account)
    if account.ready == 0 then return nil end
    return string.format('%016x', account.tag) .. account.tenant
  end

  function account_of(tenant)
    local account = accounts[tenant]
    if account then return account end
    local raw = call('HGET', ACCOUNT, tenant)
    account = { tenant = tenant, running = 0, memory = 0, live = 0, ready = 0, tag = 0, mean_us = 0 }
    if raw then
      account.running, account.memory, account.live, account.ready, account.tag, account.mean_us,
        account.minute, account.runs, account.hour, account.cpu_ms, account.fuel, account.http,
        account.http_bytes, account.cpu_aside_ms, account.fuel_aside = dec(raw)
      account.turn = turn_of(account)
    end
    accounts[tenant] = account
    return account
  end

  local function pack_account(account)
    if not account.hour then
      return enc(account.running, account.memory, account.live, account.ready, account.tag,
        account.mean_us)
    end
    return enc(account.running, account.memory, account.live, account.ready, account.tag,
      account.mean_us, account.minute, account.runs, account.hour, account.cpu_ms, account.fuel,
      account.http, account.http_bytes, account.cpu_aside_ms, account.fuel_aside)
  end

  -- A tag was changed: the largest is kept.
  local is_larger = false
  local function note_tag(account)
    if account.tag > largest_tag then largest_tag, is_larger = account.tag, true end
    account.is_changed = true
  end

  before_write[3] = function()
    if is_larger then put_field(META, 'tag', number(largest_tag)) end
    is_larger = false
    for tenant, account in pairs(accounts) do
      if account.is_changed then
        put_field(ACCOUNT, tenant, pack_account(account))
        local turn = turn_of(account)
        if turn ~= account.turn then
          if account.turn then drop_place(WAITING, account.turn) end
          if turn then put_place(WAITING, turn) end
          account.turn = turn
        end
        account.is_changed = false
      end
    end
    for queue, more in pairs(begun_in) do
      if more ~= 0 then
        call('HINCRBY', RUNNING, queue, number(more))
        ran_in[queue] = ran_in[queue] and ran_in[queue] + more
      end
    end
    begun_in = {}
  end

  -- The tag of the first of those that wait; when nobody waits, the largest there ever was. What this
  -- script has changed is not in the list yet.
  local function first_tag()
    local first
    for _, account in pairs(accounts) do
      if account.ready > 0 and (not first or account.tag < first) then first = account.tag end
    end
    local place = 0
    while true do
      local turn = call('ZRANGE', WAITING, place, place)[1]
      if not turn then return first or largest_tag end
      if not accounts[string.sub(turn, 17)] then
        local tag = tonumber(string.sub(turn, 1, 16), 16)
        return first and math.min(first, tag) or tag
      end
      place = place + 1
    end
  end

  -- A run of the tenant may begin, or no longer waits to. Who comes anew begins where the first of those
  -- is that wait: it has saved nothing by having wanted nothing. When nobody waits, all begin anew.
  function count_ready(tenant, more)
    local account = account_of(tenant)
    if account.ready == 0 and more > 0 then account.tag = math.max(account.tag, first_tag()) end
    account.ready, account.is_changed = math.max(account.ready + more, 0), true
  end

  function count_live(tenant, more)
    local account = account_of(tenant)
    account.live, account.is_changed = math.max(account.live + more, 0), true
  end

  -- Whether as many runs of a queue are under way as there may be.
  function is_full(queue)
    if not allotted then return false end
    queue_limits = queue_limits or dec(allotted)
    local limit = queue_limits[queue]
    if not limit then return false end
    ran_in[queue] = ran_in[queue] or tonumber(call('HGET', RUNNING, queue) or 0)
    return limit <= ran_in[queue] + (begun_in[queue] or 0)
  end

  -- How much of a key was counted in the present window, and when that began.
  local function counted(account, window)
    local _, name, unit, length = unpack(window)
    local began, now = account[unit] or 0, NOW - NOW % length
    if began < now then return 0, now end
    return account[name], began
  end

  function open_windows(account)
    if account.hour then return end
    account.minute, account.hour, account.runs, account.cpu_ms, account.fuel = 0, 0, 0, 0, 0
    account.http, account.http_bytes, account.cpu_aside_ms, account.fuel_aside = 0, 0, 0, 0
  end

  -- The windows as they are now.
  function turn_windows(account)
    open_windows(account)
    local minute, hour = NOW - NOW % MINUTE_US, NOW - NOW % HOUR_US
    if account.minute < minute then account.minute, account.runs = minute, 0 end
    if account.hour < hour then
      account.hour, account.cpu_ms, account.fuel, account.http, account.http_bytes = hour, 0, 0, 0, 0
    end
  end

  -- How much of a window must be left that something may begin.
  local function worth(window, limit)
    return math.max(math.min(window[5], limit), 1)
  end

  -- The first quota by windows that is used up: { key, limit, frees_at }. An attempt after the first is no
  -- new run.
  function used_up(account, allotment, is_first)
    if not allotment.has_windows then return nil end
    for _, window in ipairs(window_keys()) do
      local limit = allotment.limits[window[1]]
      if limit and (is_first or window[1] ~= 'runs_per_minute') then
        local used, began = counted(account, window)
        if limit < used + worth(window, limit) then
          return { key = window[1], limit = limit, frees_at = began + window[4] }
        end
      end
    end
    return nil
  end

  -- What is set aside: how much, and the least and the most of a piece.
  local function aside_of(account, window)
    if window[1] == 'cpu_per_hour' then return account.cpu_aside_ms or 0, 20, 10000 end
    return account.fuel_aside or 0, 50000000, 50000000000
  end

  function is_over(allotment, key, sum)
    local limit = allotment.limits[key]
    return limit and limit < sum
  end

  -- Whether too little of a window is left beside what is set aside for others: that may come back.
  local function is_aside(account, allotment, window)
    local limit = allotment.limits[window[1]]
    return limit
      and limit < counted(account, window) + aside_of(account, window) + worth(window, limit)
  end

  -- Whether no attempt of the tenant may begin, whatever it is, until another one has ended.
  function must_wait(account, allotment)
    return is_over(allotment, 'max_running', account.running + 1)
      or is_over(allotment, 'memory', account.memory)
      or allotment.has_windows and (is_aside(account, allotment, window_keys()[2])
        or is_aside(account, allotment, window_keys()[3]))
  end

  local function memory_within(allotment, memory)
    return math.min(memory, allotment.limits.memory or memory)
  end

  -- Whether an attempt of the run may begin: nil, 'wait', or what is used up.
  function judge(run)
    local allotment = allotment_of(run.tenant)
    if allotment == NO_ALLOTMENT then return nil end
    local account = account_of(run.tenant)
    local out = used_up(account, allotment, not run.verdict)
    if out then return out end
    local memory = account.memory + memory_within(allotment, run.memory)
    if must_wait(account, allotment) or is_over(allotment, 'memory', memory) then return 'wait' end
    return nil
  end

  -- The next piece of a quota that can be set aside; 0 when nothing is left, or nothing limited.
  function piece(account, allotment, window)
    local limit = allotment.limits[window[1]]
    if not limit then return 0 end
    local aside, least, most = aside_of(account, window)
    local left = math.max(math.max(limit - counted(account, window), 0) - aside, 0)
    return math.min(math.max(math.floor(limit / PIECES), least), most, left)
  end

  -- How far a tag grows.
  local function tags(cost_us, allotment)
    return math.floor(cost_us * TAGS_A_US / math.max(allotment.weight, 1))
  end

  -- An attempt of the run begins.
  function admit(run)
    local account, allotment = account_of(run.tenant), allotment_of(run.tenant)
    local admitted = {
      memory = memory_within(allotment, run.memory), cost_us = math.max(account.mean_us, LEAST_COST_US),
      cpu_ms = 0, fuel = 0,
    }
    account.running = account.running + 1
    account.memory = account.memory + admitted.memory
    account.tag = account.tag + tags(admitted.cost_us, allotment)
    if allotment.has_windows then
      turn_windows(account)
      if not run.verdict then account.runs = account.runs + 1 end
      admitted.cpu_ms = piece(account, allotment, window_keys()[2])
      admitted.fuel = piece(account, allotment, window_keys()[3])
      account.cpu_aside_ms = account.cpu_aside_ms + admitted.cpu_ms
      account.fuel_aside = account.fuel_aside + admitted.fuel
    end
    run.admitted = admitted
    note_tag(account)
    begun_in[run.queue] = (begun_in[run.queue] or 0) + 1
  end

  -- Counts an attempt that is under way where it comes from.
  function restore(run)
    local account, admitted = account_of(run.tenant), run.admitted
    account.running, account.memory = account.running + 1, account.memory + admitted.memory
    if admitted.cpu_ms > 0 or admitted.fuel > 0 then
      open_windows(account)
      account.cpu_aside_ms = account.cpu_aside_ms + admitted.cpu_ms
      account.fuel_aside = account.fuel_aside + admitted.fuel
    end
    account.is_changed = true
    begun_in[run.queue] = (begun_in[run.queue] or 0) + 1
  end

  -- The attempt that the run was admitted for has ended; `usage` is what it used. Nil: nobody knows, and
  -- what was set aside counts as used.
  function release(run, usage)
    local admitted = run.admitted
    if not admitted then return end
    run.admitted = nil
    local account, allotment = account_of(run.tenant), allotment_of(run.tenant)
    account.running = math.max(account.running - 1, 0)
    account.memory = math.max(account.memory - admitted.memory, 0)
    if account.hour then
      account.cpu_aside_ms = math.max(account.cpu_aside_ms - admitted.cpu_ms, 0)
      account.fuel_aside = math.max(account.fuel_aside - admitted.fuel, 0)
    end
    local cpu_ms, fuel = admitted.cpu_ms, admitted.fuel
    if usage then cpu_ms, fuel = usage.cpu_ms, usage.fuel or 0 end
    local cost_us = math.max(cpu_ms * 1000, LEAST_COST_US)
    account.tag = math.max(account.tag + tags(cost_us, allotment) - tags(admitted.cost_us, allotment), 0)
    account.mean_us = math.floor((account.mean_us * 7 + cost_us) / 8)
    if allotment.has_windows then
      turn_windows(account)
      account.cpu_ms, account.fuel = account.cpu_ms + cpu_ms, account.fuel + fuel
    end
    note_tag(account)
    -- Another host may have room for what waited.
    if allotment ~= NO_ALLOTMENT or is_full(run.queue) then
      if account.ready > 0 or call('ZCARD', WAITING) > 0 then tell_queued() end
    end
    begun_in[run.queue] = (begun_in[run.queue] or 0) - 1
  end
end

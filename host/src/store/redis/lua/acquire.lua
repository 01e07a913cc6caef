-- Takes queued runs that the host can run and has room for: tenants by their turns, of each the best run
-- that may begin here and now. Being served moves a tenant back, so that the sweep comes by again. What
-- may not begin in this window of the clock gets the verdict `quota`, or is put off until the next.
--
-- Args: host, digest (of what the session serves), serves (all of it, when that may not be known here:
-- `q` and a queue, `p` and `tenant/plugin`), most (runs), room = { { slots and
-- memory that are free, are missing, are kept at most, of a share; most_memory }, { [tenant] = { slots,
-- memory } } }.
-- Answer: { runs, plans = { { jk, schedule } } }, one for each run, both packed as they are kept; or
-- { unknown }: the digest is.
-- Errors: GEN, FENCED. O((tenants that wait + runs looked at) * log N).
local refused = guard(true)
if refused then return refused end
wake()
local digest = A.session .. 'd' .. A.digest
if A.serves then
  call('ZREMRANGEBYLEX', SERVES, '[' .. A.session, '(' .. A.session .. '\255')
  for _, name in ipairs(A.serves) do put_place(SERVES, A.session .. name) end
  put_place(SERVES, digest)
end
write()
-- Turns of tenants that are read at once, and the first of them.
local TURNS_AT_ONCE = 64
local turns = A.room[1][1] > 0 and call('ZRANGE', WAITING, 0, TURNS_AT_ONCE - 1) or {}
local runs, plans = {}, {}
if #turns == 0 then return done({ runs = runs, plans = plans }) end

-- Runs of one tenant that are passed over at most before one is found that may begin; runs that get
-- another verdict, or another time, in one call at most, and of one tenant at its turn.
local MAX_PASSED, MAX_REFUSED, MAX_REFUSED_AT_ONCE = 32, 256, 32
local refused_runs = 0

-- Room, as `record::room` has it.
local is_open, has_slot, has_memory, take_room
do
  local free_slots, free_memory, missing_slots, missing_memory, most_kept_slots, most_kept_memory,
    share_slots, share_memory, most_memory = unpack(A.room[1])
  local held_by = A.room[2]
  local NOTHING = { 0, 0 }

  function is_open()
    return free_slots > 0
  end

  function has_slot(tenant)
    local held = held_by[tenant] or NOTHING
    if held[1] < share_slots then return free_slots > 0 end
    return free_slots > math.min(missing_slots, most_kept_slots)
  end

  function has_memory(run)
    local memory, held = math.min(run.memory, most_memory), held_by[run.tenant] or NOTHING
    local free = free_memory
    if held[1] > 0 and held[2] + memory > share_memory then
      free = math.max(free - math.min(missing_memory, most_kept_memory), 0)
    end
    return memory <= free
  end

  function take_room(run)
    local memory = math.min(run.memory, most_memory)
    local held = held_by[run.tenant] or { 0, 0 }
    held_by[run.tenant] = held
    local slots = math.max(share_slots - held[1], 0)
    local space = math.max(share_memory - held[2], 0)
    held[1], held[2] = held[1] + 1, held[2] + memory
    slots = slots - math.max(share_slots - held[1], 0)
    space = space - math.max(share_memory - held[2], 0)
    missing_slots = math.max(missing_slots - slots, 0)
    missing_memory = math.max(missing_memory - space, 0)
    free_slots = math.max(free_slots - 1, 0)
    free_memory = math.max(free_memory - memory, 0)
  end
end

-- Turns of tenants.
local next_turn, take_turn
do
  -- Turns from the least on. Those that were read stand in `turns`, the present one at `at`.
  local at, are_all = 0, #turns < TURNS_AT_ONCE

  function next_turn()
    at = at + 1
    if not turns[at] and not are_all then
      turns = call('ZRANGEBYLEX', WAITING, '(' .. turns[at - 1], '+', 'LIMIT', 0, TURNS_AT_ONCE)
      at, are_all = 1, #turns < TURNS_AT_ONCE
    end
    return turns[at]
  end

  -- A tenant whose turn was: when the next is. Written at once only where it is to be read again.
  function take_turn(account)
    local turn = turn_of(account)
    if not turn or turn <= turns[at] then return end
    if are_all or turn < turns[#turns] then
      local place = at + 1
      while turns[place] and turns[place] < turn do place = place + 1 end
      table.insert(turns, place, turn)
    else
      call('ZREM', WAITING, account.turn)
      call('ZADD', WAITING, 0, turn)
      account.turn = turn
    end
  end
end

-- Ready runs of a tenant.
local line_of, pop, look_ahead, look_again
local is_unknown = false
do
  -- Runs of a class that are read at once: first a few, and then more and more. Classes of a tenant that
  -- are jumped through: one may have very many that nobody serves.
  local FIRST_RUNS, MOST_RUNS, MOST_JUMPS = 4, 64, 64

  -- Whether the host can take runs of a queue and a plugin, if what it serves is known at all: that is
  -- found out with the first question, when nothing has been changed yet.
  local function serves(queue, plugin)
    local found = call('ZMSCORE', SERVES, A.session .. queue, A.session .. plugin, digest)
    is_unknown = not found[3]
    return found[1] and found[2]
  end

  -- Reads on where all that was read of a class is used up.
  local function read_on(class)
    if class.ranks[class.at] or class.is_all then return end
    local after = class.prefix .. class.ranks[class.at - 1]
    local found = call('ZRANGEBYLEX', READY, '(' .. after, class.last, 'LIMIT', 0, class.at_once)
    local ranks = {}
    for i, member in ipairs(found) do ranks[i] = string.sub(member, #class.prefix + 1) end
    class.ranks, class.at, class.is_all = ranks, 1, #found < class.at_once
    class.at_once = math.min(class.at_once * 4, MOST_RUNS)
  end

  -- A class none of whose runs was read yet.
  local function class_of(name, queue)
    return {
      prefix = name .. '\0', last = '(' .. name .. '\1', queue = queue, ranks = {}, at = 1,
      is_all = false, at_once = FIRST_RUNS * 4,
    }
  end

  -- What the session serves whose names begin so, without that beginning.
  local function served(start)
    local key, names = A.session .. start, {}
    for i, member in ipairs(call('ZRANGEBYLEX', SERVES, '[' .. key, '(' .. key .. '\255')) do
      names[i] = string.sub(member, #key + 1)
    end
    return names
  end

  -- The same as `line_of`, of what the host serves of the tenant.
  local function line_of_served(tenant)
    local line, queues = {}, served('q')
    for _, plugin in ipairs(served('p' .. tenant .. '/')) do
      for _, queue in ipairs(queues) do
        local class = not is_full(queue) and class_of(tenant .. '/' .. queue .. '/' .. plugin, queue)
        if class then
          local found = call('ZRANGEBYLEX', READY, '[' .. class.prefix, class.last, 'LIMIT', 0, FIRST_RUNS)
          for i, member in ipairs(found) do class.ranks[i] = string.sub(member, #class.prefix + 1) end
          class.is_all = #found < FIRST_RUNS
          if #found > 0 then line[#line + 1] = class end
        end
      end
    end
    return line
  end

  -- The classes of a tenant that the host serves, each with its first runs. There may be many classes
  -- here and many there: each that has a ready run is jumped to, and asked for, up to a number of them.
  function line_of(tenant)
    local line, from, jumps = {}, '[' .. tenant .. '/', 0
    repeat
      local found = call('ZRANGEBYLEX', READY, from, '(' .. tenant .. '0', 'LIMIT', 0, FIRST_RUNS)
      local prefix, class
      for _, member in ipairs(found) do
        if not prefix or string.sub(member, 1, #prefix) ~= prefix then
          if class then class.is_all = true end
          local name = string.match(member, '^%Z*')
          local queue, plugin = string.match(name, '^[^/]*/([^/]*)/(.*)$')
          prefix, class = name .. '\0', nil
          jumps = jumps + 1
          if serves('q' .. queue, 'p' .. tenant .. '/' .. plugin) and not is_full(queue) then
            class = class_of(name, queue)
            line[#line + 1] = class
          end
          from = '[' .. name .. '\1'
        end
        if class then class.ranks[#class.ranks + 1] = string.sub(member, #prefix + 1) end
      end
      local are_all = #found < FIRST_RUNS
      if class and are_all then class.is_all = true end
      if not are_all and not is_unknown and jumps >= MOST_JUMPS then return line_of_served(tenant) end
    until are_all or is_unknown
    return line
  end

  -- The next run of a line, and its queue.
  function pop(line)
    local best, rank
    for _, class in ipairs(line) do
      read_on(class)
      local head = class.ranks[class.at]
      if head and (not rank or head < rank) then best, rank = class, head end
    end
    if not best then return nil end
    best.at = best.at + 1
    return string.sub(rank, 18), best.queue
  end

  -- Before another run of the tenant may become ready: it comes after the one that is next by now.
  function look_ahead(line)
    for _, class in ipairs(line) do read_on(class) end
  end

  -- After that: what comes after the heads is read again.
  function look_again(line)
    write()
    for _, class in ipairs(line) do
      local head = class.ranks[class.at]
      if head then class.ranks, class.at, class.is_all = { head }, 1, false end
    end
  end
end

-- What is used up, in words.
local used_up_text
do
  -- A whole second as people read it: days since the epoch become a date of the calendar that has always
  -- been Gregorian, in years that begin in March.
  local function rfc3339(time)
    local seconds = math.floor(time / 1000000)
    local days, rest = math.floor(seconds / 86400) + 719468, seconds % 86400
    local era = math.floor(days / 146097)
    local day = days - era * 146097
    local year = math.floor((day - math.floor(day / 1460) + math.floor(day / 36524)
      - math.floor(day / 146096)) / 365)
    day = day - (365 * year + math.floor(year / 4) - math.floor(year / 100))
    local month = math.floor((5 * day + 2) / 153)
    day = day - math.floor((153 * month + 2) / 5) + 1
    month = month < 10 and month + 3 or month - 9
    year = year + era * 400 + (month <= 2 and 1 or 0)
    return string.format('%04d-%02d-%02dT%02d:%02d:%02dZ', year, month, day, math.floor(rest / 3600),
      math.floor(rest % 3600 / 60), rest % 60)
  end

  function used_up_text(tenant, out)
    return 'the tenant has used up `quota.' .. out.key .. '` = '
      .. allotment_of(tenant).shown[out.key] .. '; more is free from ' .. rfc3339(out.frees_at) .. ' on'
  end
end

-- Lets a ready run wait for a time; it keeps its slot.
local function put_off(run, till, reason)
  run.not_before, run.reason = till, reason or run.reason
  move(run, 'put_off')
end

-- The best run of a tenant that may begin.
local lines = {}
local function next_of(tenant)
  local account, allotment = account_of(tenant), allotment_of(tenant)
  if not has_slot(tenant)
    or must_wait(account, allotment) and not used_up(account, allotment, true) then
    return nil
  end
  local line = lines[tenant] or line_of(tenant)
  lines[tenant] = line
  local passed = 0
  local most = math.min(MAX_REFUSED, refused_runs + MAX_REFUSED_AT_ONCE)
  while passed < MAX_PASSED and refused_runs < most do
    local id, queue = pop(line)
    if not id then return nil end
    local run = not is_full(queue) and live_run(id .. tenant)
    if not run or not has_memory(run) then
      passed = passed + 1
    else
      local till = rate_full_until(run)
      local out = not till and judge(run)
      if not till and not out then return run end
      if out == 'wait' then
        passed = passed + 1
      else
        look_ahead(line)
        if till then
          put_off(run, till, 'rate_limit')
        elseif run.verdict then
          put_off(run, out.frees_at)
        else
          drop(run, 'quota', out.key, nil, used_up_text(tenant, out))
        end
        refused_runs = refused_runs + 1
        look_again(line)
      end
    end
  end
  return nil
end

local function claim(run)
  take_room(run)
  begin_attempt(run)
  runs[#runs + 1] = move(run, 'held', A.session)
  local jk = job_of(run)
  count_begun(run)
  if note(run, false) then keep_last(jk) end
  plans[#plans + 1] = { jk, packed_schedule(jk) }
end

while #runs < A.most and is_open() do
  local turn = next_turn()
  if not turn then break end
  local tenant = string.sub(turn, 17)
  local run = next_of(tenant)
  if is_unknown then return done({ unknown = true }) end
  if run then claim(run) end
  take_turn(account_of(tenant))
end
-- There may be more that can begin: all look again.
if refused_runs >= MAX_REFUSED_AT_ONCE then tell_queued() end
keep_fence()
return done({ runs = runs, plans = plans })

-- Shared by all scripts: arguments, answers, time, and what is told to others.
--
-- ARGV[1] and ARGV[2] are maps in MessagePack, read as one: `clock` (whose counts), `now` (the
-- caller's clock, us), `text` (the same for people), `gen`, `session`, `host`; and what the script's
-- own head names. ARGV[3] holds bytes that are kept as they come. Times are microseconds; a double
-- holds them exactly until the year 2255. Absent and nil are the same.

local dec, enc = cmsgpack.unpack, cmsgpack.pack
local call = redis.call
local A = dec(ARGV[2])
for name, value in pairs(dec(ARGV[1])) do A[name] = value end

-- How far a host's clock may run ahead of the server's before its fires wait for the server's.
local TOLERANCE_US = 500000
-- Changes kept for those who read the feed.
local FEED_LENGTH = 10000

-- `NOW` stamps records; `DUE_BY` decides what has come due and is never ahead of either clock.
local NOW, DUE_BY
if A.clock == 'caller' then
  NOW, DUE_BY = A.now, A.now
else
  local time = call('TIME')
  NOW = time[1] * 1000000 + time[2]
  DUE_BY = math.min(NOW, A.now + TOLERANCE_US)
end

local function refuse(kind, text)
  return redis.error_reply('CAMP' .. kind .. ' ' .. tostring(text or ''))
end

-- The last fence that was given out; the largest tag that a tenant ever had; what queues may have,
-- packed, and false while neither they nor tenants were allotted anything.
local last_fence, largest_tag, allotted

-- What every script begins with: the contents are those that the caller attached to, and the
-- session lives. Answers an error to hand on, or nil.
local function guard(needs_session)
  local meta = call('HMGET', META, 'gen', 'fence', 'tag', 'allot')
  if meta[1] ~= A.gen then return refuse('GEN', meta[1]) end
  last_fence, largest_tag, allotted = meta[2], tonumber(meta[3] or 0), meta[4]
  if needs_session then
    local counter = call('HGET', SES, A.session)
    if not counter or counter == 'dead' then return refuse('FENCED') end
  end
  return nil
end

-- A time as text that sorts like the time: 16 hexadecimal digits, from 1906 on.
local BIAS_US = 2000000000000000
local time_texts = {}
local function sortable(time)
  local text = time_texts[time]
  if not text then
    text = string.format('%016x', math.max(time, -BIAS_US) + BIAS_US)
    time_texts[time] = text
  end
  return text
end

local function number(value)
  return string.format('%d', value)
end

local function jkey(tenant, job)
  return tenant .. '\0' .. job
end

local function rkey(run)
  return run.id .. run.tenant
end

-- The key of a run's job; joined once.
local function job_of(run)
  local jk = run.jk
  if not jk then
    jk = jkey(run.tenant, run.job)
    run.jk = jk
  end
  return jk
end

-- What is kept in hashes and in lists sorted by text, by key and name: it is written by `done`, in
-- one command for each key, since most of it no script reads again. A name that was dropped is
-- `false`. Who reads one of these keys by anything but `field` calls `write` before.
--
-- A script has 200 names at most: those that no other part needs end with a block.
local before_write = {}
local put_field, drop_field, put_place, drop_place, field, write
do
  local fields, places = {}, {}

  local function later(kept, key, name, value)
    local of_key = kept[key]
    if not of_key then
      of_key = {}
      kept[key] = of_key
    end
    of_key[name] = value
  end

  function put_field(key, name, value) later(fields, key, name, value) end
  function drop_field(key, name) later(fields, key, name, false) end
  function put_place(key, name) later(places, key, name, true) end
  function drop_place(key, name) later(places, key, name, false) end

  -- A field of a hash, as it will be; nil when there is none.
  function field(key, name)
    local of_key = fields[key]
    local value = of_key and of_key[name]
    if value == nil then value = call('HGET', key, name) end
    return value or nil
  end

  -- Values that one command takes: far fewer than Lua can unpack.
  local AT_ONCE = 1000

  local function send(command, key, values)
    for from = 1, #values, AT_ONCE do
      call(command, key, unpack(values, from, math.min(from + AT_ONCE - 1, #values)))
    end
  end

  function write()
    for _, prepare in ipairs(before_write) do prepare() end
    for key, of_key in pairs(fields) do
      local put, drop = {}, {}
      for name, value in pairs(of_key) do
        if value then
          put[#put + 1], put[#put + 2] = name, value
        else
          drop[#drop + 1] = name
        end
      end
      send('HSET', key, put)
      send('HDEL', key, drop)
    end
    for key, of_key in pairs(places) do
      local put, drop = {}, {}
      for name, is_put in pairs(of_key) do
        if is_put then
          put[#put + 1], put[#put + 2] = '0', name
        else
          drop[#drop + 1] = name
        end
      end
      send('ZADD', key, put)
      send('ZREM', key, drop)
    end
    fields, places = {}, {}
  end
end

-- News, told in one piece when the script has done its work.
local news, hints, queued_is_told = {}, {}, false

local function tell(kind, tenant, name)
  local item = { kind, tenant, name }
  news[#news + 1] = item
  if kind == 'job' or kind == 'cancel' then hints[#hints + 1] = item end
end

local function tell_queued()
  if not queued_is_told then
    queued_is_told = true
    news[#news + 1] = { 'queued' }
    hints[#hints + 1] = { 'queued' }
  end
end

-- Ends a script that may have written: tells its news, packs its answer.
local function done(answer)
  write()
  if #news > 0 then
    call('XADD', FEED, 'MAXLEN', '~', FEED_LENGTH, '*', 'c', enc(news))
  end
  if #hints > 0 then
    call('SPUBLISH', HINT, enc(hints))
  end
  return enc(answer)
end

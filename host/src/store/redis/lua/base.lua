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

-- What every script begins with: the contents are those that the caller attached to, and the
-- session lives. Answers an error to hand on, or nil.
local function guard(needs_session)
  local gen = call('HGET', META, 'gen')
  if gen ~= A.gen then return refuse('GEN', gen) end
  if needs_session then
    local counter = call('HGET', SES, A.session)
    if not counter or counter == 'dead' then return refuse('FENCED') end
  end
  return nil
end

-- A time as text that sorts like the time: 16 hexadecimal digits, from 1906 on.
local BIAS_US = 2000000000000000
local function sortable(time)
  if time < -BIAS_US then time = -BIAS_US end
  return string.format('%016x', time + BIAS_US)
end

local function number(value)
  return string.format('%.0f', value)
end

local function jkey(tenant, job)
  return tenant .. '\0' .. job
end

local function rkey(run)
  return run.id .. run.tenant
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
  if #news > 0 then
    call('XADD', FEED, 'MAXLEN', '~', FEED_LENGTH, '*', 'c', enc(news))
  end
  if #hints > 0 then
    call('SPUBLISH', HINT, enc(hints))
  end
  return enc(answer)
end

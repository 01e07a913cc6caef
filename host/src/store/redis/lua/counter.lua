-- Adds to a counter unless it would pass a limit.
--
-- Args: key (`tenant\0name`), by, limit: whole numbers as text. Answer: { value = text } or {} when it
-- would pass. Errors: GEN, INVALID (the sum is no 64-bit number). O(1).
local refused = guard(false)
if refused then return refused end
local sum = redis.pcall('HINCRBY', COUNTER, A.key, A.by)
if type(sum) == 'table' then return refuse('INVALID', 'counter overflows') end
if A.limit and tonumber(A.by) > 0 and sum > tonumber(A.limit) then
  call('HINCRBY', COUNTER, A.key, number(-tonumber(A.by)))
  return done({ passed = true })
end
return done({ value = call('HGET', COUNTER, A.key) })

-- Writes a document whose version is `expect`, or removes it.
--
-- Args: key (`tenant\0kind\0key`), expect, remove, followed (hosts look at it). ARGV[3]: its bytes.
-- Answer: { version }. Errors: GEN, CONFLICT. O(log N).
local refused = guard(false)
if refused then return refused end
local kept = call('HGET', DOC, A.key)
local version, value = 0, nil
if kept then
  local line_end = string.find(kept, '\n', 1, true)
  version, value = tonumber(string.sub(kept, 1, line_end - 1)), string.sub(kept, line_end + 1)
end
local function mark()
  if A.followed then call('HINCRBY', META, 'docs', 1) end
end
if A.remove then
  if A.expect and A.expect ~= version and version ~= 0 then
    return refuse('CONFLICT', number(version))
  end
  mark()
  call('HDEL', DOC, A.key)
  call('ZREM', DOC_KEY, A.key)
  return done({ version = 0 })
end
if A.expect and A.expect ~= version then
  if value == ARGV[3] and version == A.expect + 1 then return done({ version = version }) end
  return refuse('CONFLICT', number(version))
end
version = version + 1
mark()
call('HSET', DOC, A.key, number(version) .. '\n' .. ARGV[3])
call('ZADD', DOC_KEY, 0, A.key)
return done({ version = version })

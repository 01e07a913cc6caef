-- What every new connection begins with: are these contents that this host can write, and which
-- generation are they? Makes them when there are none. Another life of the server is another
-- generation.
--
-- Args: schema (newest format the host writes), store_id (for contents that have none), server (the
-- server's run_id), imports (it is an import that comes), unfinished (what others are told then), base
-- (name and text of what the host has built in).
-- Answer: { gen }. Errors: INCOMPATIBLE, UNFIT (an import has not ended). O(1).
local meta = call('HMGET', META, 'schema', 'gen', 'server', 'importing')
local schema, gen, server = tonumber(meta[1]), meta[2], meta[3]
if schema and schema > A.schema then return refuse('INCOMPATIBLE', number(schema)) end
if schema and schema < A.schema then
  return refuse('UNFIT', 'its contents have format ' .. number(schema) .. ', which no released host '
    .. 'wrote; empty them, or give `prefix` another name')
end
if meta[4] == '1' and not A.imports then return refuse('UNFIT', A.unfinished) end
if not schema then
  gen = '1'
  call('HSET', META, 'schema', number(A.schema), 'store_id', A.store_id, 'gen', gen, 'fence', '0',
    'range', '0', 'server', A.server)
elseif server ~= A.server then
  gen = number(tonumber(gen) + 1)
  call('HSET', META, 'gen', gen, 'server', A.server)
end
call('HSETNX', META, A.base[1], A.base[2])
return done({ gen = gen })

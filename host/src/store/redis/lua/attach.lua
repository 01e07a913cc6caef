-- What every new connection begins with: are these contents that this host can write, and which
-- generation are they? Makes them when there are none. Another life of the server is another
-- generation.
--
-- Args: schema (newest format the host writes), store_id (for contents that have none), server (the
-- server's run_id). Answer: { gen }. Errors: INCOMPATIBLE. O(1).
local meta = call('HMGET', META, 'schema', 'gen', 'server')
local schema, gen, server = tonumber(meta[1]), meta[2], meta[3]
if schema and schema > A.schema then return refuse('INCOMPATIBLE', number(schema)) end
if not schema then
  gen = '1'
  call('HSET', META, 'schema', number(A.schema), 'store_id', A.store_id, 'gen', gen, 'fence', '0',
    'range', '0', 'server', A.server)
elseif server ~= A.server then
  gen = number(tonumber(gen) + 1)
  call('HSET', META, 'gen', gen, 'server', A.server)
end
return done({ gen = gen })

-- Renews a session: counts its beat up, notes progress, tells what its host should know.
--
-- Args: info (the host's, JSON, when it changed), schedules (whether it plans), progress ({ run, tenant, fence, progress }).
-- Answer: { cancels = { { run, tenant, why } }, held = { { run, tenant, fence } },
-- peers = { { session, host, counter | 'dead', schedules } } }. Errors: GEN, FENCED.
-- O(hosts + runs held).
local refused = guard(true)
if refused then return refused end
local about = dec(call('HGET', HOST, A.session))
call('HINCRBY', SES, A.session, 1)
about.beat_at, about.offset = NOW, A.now - NOW
if A.info then about.info, about.schedules = A.info, A.schedules end
call('HSET', HOST, A.session, enc(about))
for _, step in ipairs(A.progress) do
  local run = live_run(step.run .. step.tenant)
  if run and run.holder == A.session and current_fence(run) == step.fence then
    run.progress = step.progress
    keep_live(run)
  end
end
local cancels, held, peers = {}, {}, {}
for _, member in ipairs(call('ZRANGEBYLEX', OWN, '[' .. A.session, '(' .. A.session .. 'g')) do
  local run = live_run(string.sub(member, 33))
  if run then
    held[#held + 1] = { run.id, run.tenant, current_fence(run) }
    if run.cancel then cancels[#cancels + 1] = { run.id, run.tenant, run.cancel } end
  end
end
local sessions = call('HGETALL', SES)
for i = 1, #sessions, 2 do
  if sessions[i] ~= A.session then
    local raw = call('HGET', HOST, sessions[i])
    local peer = raw and dec(raw) or { host = '', schedules = false }
    peers[#peers + 1] = { sessions[i], peer.host, sessions[i + 1], peer.schedules or false }
  end
end
return done({ cancels = cancels, held = held, peers = peers })

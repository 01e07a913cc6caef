-- Ends a session: its own (`peer` absent), or a dead one whose counter still stands at `seen`. Hands
-- back what it held, at most `most` runs a call: while `more`, the caller calls again.
--
-- Args: peer, seen (text), most. Answer: { rescued, abandoned, cancelled = { { run, tenant } }, more,
-- moved = the counter, when the other lives }. Errors: GEN, FENCED. O(most * log N).
-- A session that is ending is `dead` from the first call on and never lives again.
local refused = guard(A.peer ~= nil)
if refused then return refused end
local session = A.peer or A.session
local answer = { rescued = {}, abandoned = {}, cancelled = {}, more = false }
local counter = call('HGET', SES, session)
if not counter then return done(answer) end
if A.peer and counter ~= 'dead' and counter ~= A.seen then
  answer.moved = counter
  return done(answer)
end
call('HSET', SES, session, 'dead')
local own = call('ZRANGEBYLEX', OWN, '[' .. session, '(' .. session .. 'g', 'LIMIT', 0, A.most + 1)
if #own > A.most then
  answer.more = true
  table.remove(own)
end
-- By tenant and run: in this order tenants come to wait anew.
for i, member in ipairs(own) do own[i] = string.sub(member, 65) .. '\0' .. string.sub(member, 33, 64) end
table.sort(own)
for _, name in ipairs(own) do
  local rk = string.sub(name, -32) .. string.sub(name, 1, -34)
  local run = live_run(rk)
  if not run then
    call('ZREM', OWN, session .. rk)
  else
    local spent = run.delivery == 'at_most_once' or run.max_rescues <= run.rescues
    local outcome, list = 'abandoned', answer.rescued
    if run.cancel then
      outcome, list = 'cancelled', answer.cancelled
    elseif spent then
      list = answer.abandoned
    end
    list[#list + 1] = { run.id, run.tenant }
    release(run, nil)
    local attempt = run.attempts[#run.attempts]
    if attempt then
      attempt.finished_at, attempt.outcome = NOW, outcome
      spend_attempt(run, attempt.usage)
    end
    if run.cancel or spent then
      run.outcome = outcome
      end_run(run)
    else
      run.rescues, run.state = run.rescues + 1, 'queued'
      move(run, 'ready')
      tell_queued()
      if note(run, false) then keep_last(job_of(run)) end
    end
  end
end
if not answer.more then
  call('HDEL', SES, session)
  call('HDEL', HOST, session)
  call('ZREMRANGEBYLEX', SERVES, '[' .. session, '(' .. session .. '\255')
end
return done(answer)

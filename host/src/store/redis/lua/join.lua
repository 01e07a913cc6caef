-- Opens the session `session`.
--
-- Args: info (the host's, JSON), schedules (whether it plans). Answer: { ok }. Errors: GEN. O(1).
local refused = guard(false)
if refused then return refused end
call('HSET', SES, A.session, '0')
call('HSET', HOST, A.session, enc({
  host = A.host, info = A.info, schedules = A.schedules, since = NOW, beat_at = NOW,
  offset = A.now - NOW,
}))
return done({ ok = true })

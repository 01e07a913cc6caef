-- Takes more of what its tenant may have for the attempt under way: all that it asks for, or nothing.
--
-- Args: run, tenant, fence, cpu, fuel (whether another piece is wanted), http, http_bytes.
-- Answer: { admitted } (so much is set aside altogether), or { used_up = { key, limit, frees_at } }: of
-- this there is no more. Errors: GEN, FENCED. O(log N).
local refused = guard(true)
if refused then return refused end
local run = live_run(A.run .. A.tenant)
if not run or run.place ~= 'held' or current_fence(run) ~= A.fence then return refuse('FENCED') end
local account, allotment = account_of(A.tenant), allotment_of(A.tenant)
local admitted = run.admitted or { memory = 0, cost_us = 0, cpu_ms = 0, fuel = 0 }
-- Where nothing is limited by windows, nothing is counted.
if not allotment.has_windows then return done({ admitted = bare.admitted(admitted) }) end
turn_windows(account)
account.is_changed = true
local cpu = A.cpu and piece(account, allotment, window_keys()[2]) or 0
local fuel = A.fuel and piece(account, allotment, window_keys()[3]) or 0
local is_out = {
  A.cpu and cpu == 0 or false,
  A.fuel and fuel == 0 or false,
  A.http > 0 and is_over(allotment, 'http_per_hour', account.http + A.http),
  A.http_bytes > 0 and is_over(allotment, 'http_bytes_per_hour', account.http_bytes + A.http_bytes),
}
for i = 1, 4 do
  local key, _, _, length = unpack(window_keys()[i + 1])
  local limit = allotment.limits[key]
  if limit and is_out[i] then
    return done({ used_up = { key, limit, account.hour + length } })
  end
end
account.http, account.http_bytes = account.http + A.http, account.http_bytes + A.http_bytes
account.cpu_aside_ms, account.fuel_aside = account.cpu_aside_ms + cpu, account.fuel_aside + fuel
admitted.cpu_ms, admitted.fuel = admitted.cpu_ms + cpu, admitted.fuel + fuel
if cpu > 0 or fuel > 0 then
  run.admitted = admitted
  put_live(run)
end
return done({ admitted = bare.admitted(admitted) })

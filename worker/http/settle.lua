-- A request is over, or its turn was not used: what it cost, and what the answer told of the limits.
-- asked: id, booked, sent; per bucket its cost once there was an answer, and what that told: left (units), opens (in how
-- many microseconds).
-- Returns {far, how many slots had expired before}.
local far, expired = {}, 0
for i = 1, #asked.buckets do
  local it = bucket(i)
  local held = redis.call('ZREM', it.held, asked.id)
  it.away = it.away - held
  if it.slots then
    expired = expired + 1 - held
  else
    local cost = asked.sent and (it.cost or it.most) or 0
    if it.tat > 0 and (asked.booked or held == 1) then
      it.tat = it.tat + it.interval * (cost - it.most)
      set(it.key, 'tat', it.tat)
    end
    if asked.sent then
      it.real = math.max(it.real, now) + it.interval * cost
    end
    if it.left then
      -- Those under way may have been counted already.
      local told = now + it.interval * (it.burst - it.left - it.most * it.away)
      it.real = math.max(it.real, told)
    end
    if it.real > 0 then
      set(it.key, 'real', it.real)
      keep(it.key, math.max(it.real, it.tat))
    end
  end
  if it.opens then
    it.shut = math.max(it.shut, now + it.opens)
    set(it.key, 'shut', it.shut)
    keep(it.key, it.shut + asked.remembered)
  end
  if not it.slots then
    note(far, i, it, gone(it, 0))
  end
end
return {far, expired}

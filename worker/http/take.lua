-- Let a request go, or book its turn, or say why not: of all its buckets or of none.
-- asked: id, booked (by an earlier call), at (the moment that it booked), longest (wait).
-- Returns {0}: lost; {1, wait, bucket}: too far away; {2, 0, bucket}: no slot is free; {3, wait, bucket, at}: booked,
-- wait and ask again; {4, 0, 0, at, far}: go.
local lost = lost_at()
if not lost then
  return {0}
end

-- A request that nobody gave back is over by now: its worker died. It counts from now, at the latest.
local function reap(it)
  local dead = redis.call('ZREMRANGEBYSCORE', it.held, '-inf', now)
  it.away = it.away - dead
  if dead > 0 and not it.slots then
    it.real = math.max(it.real, now) + it.interval * it.most * dead
    set(it.key, 'real', it.real)
    keep(it.key, it.real)
  end
end

-- We have slept until `asked.at`, whatever this server's clock says. Until then we booked by what we meant to send;
-- now counts what the marketplace may find if everything under way arrives with us, so we are not late together.
local at, buckets, far, wait, slowest, full = math.max(now, asked.at), {}, {}, 0, 0, 0
for i = 1, #asked.buckets do
  local it, free = bucket(i), 0
  reap(it)
  buckets[i] = it
  if it.slots then
    free = it.shut
    if it.away >= it.burst then
      full = i
    end
  elseif asked.booked then
    free = math.max(it.real, at) + it.interval * ((it.away + 1) * it.most - it.burst)
  else
    it.tat = gone(it, lost) + it.interval * it.most
    free = it.tat - it.interval * it.safe
  end
  if asked.booked and it.shut > at then
    return {1, math.ceil(it.shut - at), i}
  end
  if free - at > wait then
    wait, slowest = free - at, i
  end
end
if wait > asked.longest then
  return {1, math.ceil(wait), slowest}
end
if wait == 0 and full > 0 then
  return {2, 0, full}
end
for i, it in ipairs(buckets) do
  if not it.slots and not asked.booked then
    set(it.key, 'tat', it.tat)
    keep(it.key, it.tat)
  end
  if wait == 0 then
    redis.call('ZADD', it.held, now + it.hold, asked.id)
    keep(it.held, now + it.hold)
    if not it.slots then
      it.away = it.away + 1
      note(far, i, it, gone(it, lost))
    end
  end
end
return {wait > 0 and 3 or 4, math.ceil(wait), slowest, string.format('%.0f', math.ceil(at + wait)), far}

-- Reserve `cost` units of every key, or of none. A key holds `tat`, the theoretical arrival time of GCRA, and `shut`,
-- until when the marketplace told everybody to wait; both in microseconds of this server's clock.
-- KEYS: one per bucket. ARGV: the longest wait, then interval, burst and cost per key.
-- Returns {1, wait, 0} when booked; {0, wait, which key} when the slot is too far away and nothing was booked.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local longest, wait, slowest, booked = tonumber(ARGV[1]), 0, 0, {}
for i = 1, #KEYS do
  local interval, burst, cost = tonumber(ARGV[i * 3 - 1]), tonumber(ARGV[i * 3]), tonumber(ARGV[i * 3 + 1])
  local kept = redis.call('HMGET', KEYS[i], 'tat', 'shut')
  local tat = math.max(tonumber(kept[1] or 0), now)
  if kept[2] then
    -- When it opens there is one unit, not a full burst.
    tat = math.max(tat, tonumber(kept[2]) + interval * (burst - 1))
  end
  booked[i] = tat + interval * cost
  local until_free = booked[i] - interval * burst - now
  if until_free > wait then
    wait, slowest = until_free, i
  end
end
if wait > longest then
  return {0, math.ceil(wait), slowest}
end
for i = 1, #KEYS do
  redis.call('HSET', KEYS[i], 'tat', string.format('%.0f', booked[i]))
  local lives = math.ceil((booked[i] - now) / 1000) + 1000
  if redis.call('PTTL', KEYS[i]) < lives then
    redis.call('PEXPIRE', KEYS[i], lives)
  end
end
return {1, math.ceil(wait), 0}

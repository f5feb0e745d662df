-- A request has left: the next one of a bucket without a burst comes a whole interval after that moment, however long
-- the way to the marketplace took. KEYS: one per bucket. ARGV: the interval of each, in microseconds.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i = 1, #KEYS do
  local tat = math.max(tonumber(redis.call('HGET', KEYS[i], 'tat') or 0), now + tonumber(ARGV[i]))
  redis.call('HSET', KEYS[i], 'tat', string.format('%.0f', tat))
  local lives = math.ceil((tat - now) / 1000) + 1000
  if redis.call('PTTL', KEYS[i]) < lives then
    redis.call('PEXPIRE', KEYS[i], lives)
  end
end

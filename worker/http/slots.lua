-- Take one slot of every key, or of none. A key is a sorted set of who holds a slot and until when.
-- KEYS: one per bucket. ARGV: who asks, then slots and longest holding (microseconds) per key. Returns 1 when taken.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i = 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
  if redis.call('ZCARD', KEYS[i]) >= tonumber(ARGV[i * 2]) then
    return 0
  end
end
for i = 1, #KEYS do
  local longest = tonumber(ARGV[i * 2 + 1])
  redis.call('ZADD', KEYS[i], now + longest, ARGV[1])
  redis.call('PEXPIRE', KEYS[i], math.ceil(longest / 1000) + 1000)
end
return 1

-- Give an account its place at the first of several ways out where it has one already, or where there is room.
-- KEYS: the accounts of each way out, by when they were last seen, best first. ARGV: the account, how long an unused
-- place is kept (microseconds), the most accounts of each. Returns the number of the way out; 0 when all are full.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i = 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', string.format('%.0f', now - ARGV[2]))
  if redis.call('ZSCORE', KEYS[i], ARGV[1]) or redis.call('ZCARD', KEYS[i]) < tonumber(ARGV[i + 2]) then
    redis.call('ZADD', KEYS[i], string.format('%.0f', now), ARGV[1])
    redis.call('PEXPIRE', KEYS[i], math.ceil(ARGV[2] / 1000))
    return i
  end
end
return 0

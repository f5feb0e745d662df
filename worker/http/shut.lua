-- Shut buckets for a while: every worker waits. Never opens one earlier than it was told before.
-- KEYS: one per bucket. ARGV: the wait in microseconds, and how long a bucket remembers it afterwards.
-- Returns this server's time at which they open, in microseconds.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local opens = now + tonumber(ARGV[1])
for i = 1, #KEYS do
  local before = tonumber(redis.call('HGET', KEYS[i], 'shut') or 0)
  local shut = math.max(before, opens)
  redis.call('HSET', KEYS[i], 'shut', string.format('%.0f', shut))
  redis.call('PEXPIRE', KEYS[i], math.ceil((shut - now + tonumber(ARGV[2])) / 1000))
end
return string.format('%.0f', opens)

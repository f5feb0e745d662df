-- Fill the free slots of a key for a while: the marketplace counts more requests under way than we do.
-- KEYS: the bucket. ARGV: its slots, the wait in microseconds.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local opens = now + tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
for i = 1, tonumber(ARGV[1]) - redis.call('ZCARD', KEYS[1]) do
  redis.call('ZADD', KEYS[1], opens, string.format('marketplace:%.0f:%d', now, i))
end
local lives = math.ceil((opens - now) / 1000) + 1000
if redis.call('PTTL', KEYS[1]) < lives then
  redis.call('PEXPIRE', KEYS[1], lives)
end
return 0

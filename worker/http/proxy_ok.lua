-- A request through a proxy was answered. What had put it out is forgotten, unless it is out still: then the request
-- had begun before, or was let through because too many were out.
-- KEYS: those that are out, the proxy's record. ARGV: the time in which its requests are counted, how long the record
-- lives (microseconds), the fields of the first key. Returns the fields that were forgotten.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local forgotten = {}
for i = 3, #ARGV do
  local found = redis.call('HGET', KEYS[1], ARGV[i])
  if found and tonumber(string.match(found, '%d+')) <= now then
    redis.call('HDEL', KEYS[1], ARGV[i])
    forgotten[#forgotten + 1] = ARGV[i]
  end
end
if now - tonumber(redis.call('HGET', KEYS[2], 'since') or 0) > tonumber(ARGV[1]) then
  redis.call('HDEL', KEYS[2], 'failed', 'asked')
  redis.call('HSET', KEYS[2], 'since', string.format('%.0f', now))
end
redis.call('HDEL', KEYS[2], 'row')
redis.call('HINCRBY', KEYS[2], 'asked', 1)
redis.call('PEXPIRE', KEYS[2], math.ceil(ARGV[2] / 1000))
return forgotten

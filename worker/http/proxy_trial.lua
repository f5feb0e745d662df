-- Take the right to try a proxy whose cool-down is over. KEYS: those that are out. ARGV: how long the trial may take
-- (microseconds), the fields. Returns 1 when it is ours; 0 when it is somebody else's, or the proxy went out again.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i = 2, #ARGV do
  local until_, _, trial = string.match(redis.call('HGET', KEYS[1], ARGV[i]) or '0 0 0', '(%d+) (%d+) (%d+)')
  if tonumber(until_) > now or tonumber(trial) > now then
    return 0
  end
end
for i = 2, #ARGV do
  local found = redis.call('HGET', KEYS[1], ARGV[i])
  if found then  -- else somebody else's request went well meanwhile
    local until_, level = string.match(found, '(%d+) (%d+)')
    redis.call('HSET', KEYS[1], ARGV[i], string.format('%s %s %.0f', until_, level, now + ARGV[1]))
  end
end
return 1

-- A proxy failed, or a marketplace refused its address: count it, and put it out for a while when it is too much.
-- KEYS: those that are out; for a fault of the proxy itself also its record.
-- ARGV: the field in the first key, first and longest cool-down, jitter (0..1), 1 to put it out for the longest, points,
-- points in a row that are too many, the time in which its requests are counted, requests that are enough to judge by,
-- and how long a proxy that nobody tried again is remembered. Times in microseconds of this server's clock.
-- A field holds `until level trial`: when it comes back, how often in a row it went out, until when somebody tries it.
-- Returns for how long it is out; 0 when it is not.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local lasting, points = ARGV[5] == '1', tonumber(ARGV[6])
local found = redis.call('HGET', KEYS[1], ARGV[1])
local until_, level = string.match(found or '0 0 0', '(%d+) (%d+)')
until_, level = tonumber(until_), tonumber(level)
if until_ > now and not lasting then
  return until_ - now
end
if KEYS[2] and not lasting then
  if now - tonumber(redis.call('HGET', KEYS[2], 'since') or 0) > tonumber(ARGV[8]) then
    redis.call('HDEL', KEYS[2], 'asked', 'failed')
    redis.call('HSET', KEYS[2], 'since', string.format('%.0f', now))
  end
  local row = tonumber(redis.call('HINCRBYFLOAT', KEYS[2], 'row', points))
  local failed = tonumber(redis.call('HINCRBYFLOAT', KEYS[2], 'failed', points))
  local asked = redis.call('HINCRBY', KEYS[2], 'asked', 1)
  redis.call('PEXPIRE', KEYS[2], math.ceil(ARGV[10] / 1000))
  local too_many = found and 1 or tonumber(ARGV[7])  -- one that is tried again has failed with its first fault
  if row < too_many and (asked < tonumber(ARGV[9]) or failed * 2 <= asked) then
    return 0
  end
end
if KEYS[2] then
  redis.call('HDEL', KEYS[2], 'row', 'asked', 'failed', 'since')
end
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if tonumber(string.match(all[i + 1], '%d+')) < now - tonumber(ARGV[10]) then
    redis.call('HDEL', KEYS[1], all[i])
  end
end
local longest = tonumber(ARGV[3])
local cool_down = math.max(1000000, math.min(ARGV[2] * 2 ^ level, longest) * ARGV[4])
if lasting then
  cool_down, level = longest, 20
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %d 0', now + cool_down, math.min(level + 1, 20)))
return math.ceil(cool_down)

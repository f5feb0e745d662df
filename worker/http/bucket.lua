-- What every script begins with: this server's time, and a bucket as it is kept. Times are microseconds.
-- KEYS: the marketplace's mark, then two for each bucket: a hash, and a sorted set of the requests under way with the
-- time by which each is surely over. ARGV: what is asked, as JSON. The hash holds
--   tat      until when its units are booked (GCRA's theoretical arrival time)
--   real     the same of what the marketplace has counted for certain, which is when an answer came
--   shut     until when it told everybody to wait
--   fined    until when the last refusal lasts; pace, paced: how much slower than the limit we go since, and since when
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local asked = cjson.decode(ARGV[1])

-- The server's own id, which changes when it starts again or another takes over: either may have forgotten something.
local function server()
  local told = redis.pcall('INFO', 'server')
  return type(told) == 'string' and told:match('run_id:(%x+)') or 'unknown'
end

-- When we lost what was counted while workers ran; 0 if never. Nil: it is lost, and what was kept is not back yet.
local function lost_at()
  local mark = redis.call('HMGET', KEYS[1], 'server', 'lost')
  return mark[1] == server() and tonumber(mark[2]) or nil
end

local function set(key, name, moment)
  redis.call('HSET', key, name, string.format('%.0f', moment))
end

local function keep(key, moment)
  local lives = math.ceil(math.max(0, moment - now) / 1000) + 1000
  if redis.call('PTTL', key) < lives then
    redis.call('PEXPIRE', key, lives)
  end
end

local function bucket(i)
  local it = asked.buckets[i]
  it.key, it.held = KEYS[2 * i], KEYS[2 * i + 1]
  local kept = redis.call('HMGET', it.key, 'tat', 'real', 'shut', 'fined', 'pace', 'paced')
  it.tat, it.real = tonumber(kept[1] or 0), tonumber(kept[2] or 0)
  it.shut, it.fined = tonumber(kept[3] or 0), tonumber(kept[4] or 0)
  it.pace = math.min(1, tonumber(kept[5] or 1) + (now - tonumber(kept[6] or 0)) / asked.recovery)
  it.interval = it.interval / it.pace
  it.away = redis.call('ZCARD', it.held)
  return it
end

-- Up to when its units are gone, at the most: what is booked, or what was counted and what may yet arrive, against the
-- marketplace's own burst; after a wait there is one unit, and after a loss one in an interval (or `asked.worth`).
local function gone(it, lost)
  local counted = math.max(it.real, now) + it.interval * (it.away * it.most - it.burst + it.safe)
  local one = it.interval * (it.safe - 1)
  return math.max(now, it.tat, counted, it.shut + one, lost + one + math.min(it.interval, asked.worth))
end

-- Note in `far` when the next request may be sent, if that is so far away that it must outlive this server.
local function note(far, i, it, gone_until)
  local next = gone_until + it.interval * (it.most - it.safe)
  if next - now > asked.worth then
    far[#far + 1] = i
    far[#far + 1] = string.format('%.0f', next)
  end
end

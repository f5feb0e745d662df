-- A request is still under way: its slots stay its own, but for one that expired and may be somebody else's by now.
-- asked: id.
for i, it in ipairs(asked.buckets) do
  local held = KEYS[2 * i + 1]
  if it.slots then
    redis.call('ZADD', held, 'XX', now + it.hold, asked.id)
    keep(held, now + it.hold)
  end
end

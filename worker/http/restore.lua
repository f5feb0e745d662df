-- Put back what was kept elsewhere if it is lost here, and mark that it is back. However many do it at once, one does it.
-- KEYS: the mark, then one hash per wait. asked: opens (as text, per wait), used (it was kept that this was in use).
-- Returns 1 if something was lost, 0 if it is all new, or here.
if lost_at() then
  return 0
end
for i, told in ipairs(asked.opens) do
  local key, opens = KEYS[i + 1], tonumber(told)
  if opens > now then
    set(key, 'shut', math.max(opens, tonumber(redis.call('HGET', key, 'shut') or 0)))
    keep(key, opens + asked.remembered)
  end
end
local was_here = (asked.used or redis.call('EXISTS', KEYS[1]) == 1) and 1 or 0
redis.call('HSET', KEYS[1], 'server', server())
set(KEYS[1], 'lost', was_here * now)
return was_here

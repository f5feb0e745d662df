-- Put back what was kept elsewhere, and mark that it is back. However many do it at once, it is the same.
-- KEYS: the mark, then one hash per wait. asked: opens (as text, per wait), seen (we know that it was here before).
-- Returns 1 if something was lost, 0 if it is all new or somebody else was faster.
for i, told in ipairs(asked.opens) do
  local key, opens = KEYS[i + 1], tonumber(told)
  if opens > now then
    set(key, 'shut', math.max(opens, tonumber(redis.call('HGET', key, 'shut') or 0)))
    keep(key, opens + asked.remembered)
  end
end
local was_here = 0
if not lost_at() then
  was_here = (asked.seen or redis.call('EXISTS', KEYS[1]) == 1) and 1 or 0
  redis.call('HSET', KEYS[1], 'server', server())
  set(KEYS[1], 'lost', was_here * now)
end
return was_here

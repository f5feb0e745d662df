-- The marketplace refused: every worker waits. Never opens a bucket earlier than it was told before.
-- A refusal of what we thought there was room for also slows the bucket down for a while: x 0.7, at most ten times.
-- asked: wait. Returns far.
local far = {}
for i = 1, #asked.buckets do
  local it = bucket(i)
  if now >= it.fined and not it.slots then
    redis.call('HSET', it.key, 'pace', math.max(0.1, it.pace * 0.7))
    set(it.key, 'paced', now)
  end
  local opens = now + asked.wait
  set(it.key, 'fined', math.max(it.fined, opens))
  if opens > it.shut then
    set(it.key, 'shut', opens)
    if asked.wait > asked.worth then
      far[#far + 1] = i
      far[#far + 1] = string.format('%.0f', opens)
    end
  end
  keep(it.key, math.max(it.shut, opens) + asked.remembered)
end
return far

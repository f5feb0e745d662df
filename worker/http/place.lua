-- What was begun is still under way, and its place stays its own for a while, even if this server had lost it; or it
-- is over. asked: id (the place's name), over.
local it = bucket(1)
if asked.over then
  redis.call('ZREM', it.held, asked.id)
else
  redis.call('ZADD', it.held, now + it.hold, asked.id)
  keep(it.held, now + it.hold)
end

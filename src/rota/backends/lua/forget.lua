-- Delete values whose time is over, and nodes not seen since an instant. ARGV: the instant, and how many values at most.
-- Answers how many.
local over = call('ZRANGEBYSCORE', space .. 'values', '-inf', int(now), 'LIMIT', 0, ARGV[2])
for _, member in ipairs(over) do
  local scope, key = match(member, '^(.-)%z(.*)$')
  call('HDEL', space .. 'values:' .. scope, key)
end
write('ZREM', space .. 'values', over)
local nodes = call('HGETALL', space .. 'nodes')
for index = 1, #nodes, 2 do
  if tonumber(items_of(nodes[index + 1])[5]) < tonumber(ARGV[1]) then
    call('HDEL', space .. 'nodes', nodes[index])
  end
end
return #over

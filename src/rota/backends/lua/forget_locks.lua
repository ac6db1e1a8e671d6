-- Forget locks that nobody holds. ARGV: where the last page ended, and how many to look at, or somewhat more. Answers
-- where this page ended; 0 is the end.
--
-- fence_floor: the greatest fence of all that were forgotten. It is raised together with their deletion, and a name that
-- is not known begins above it.
local locks, floor = space .. 'locks', tonumber(call('GET', space .. 'fence_floor') or 0)
local cursor, page = unpack(call('HSCAN', locks, ARGV[1], 'COUNT', ARGV[2]))
local free = {}
for index = 1, #page, 2 do
  local fence, ends, holder = match(page[index + 1], '^(%d+):(%d+):(.*)$')
  if holder == '' or tonumber(ends) <= now then
    free[#free + 1] = page[index]
    floor = math.max(floor, tonumber(fence))
  end
end
if free[1] then
  call('SET', space .. 'fence_floor', int(floor))
  write('HDEL', locks, free)
end
return cursor

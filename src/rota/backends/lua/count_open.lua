-- needs rows
-- Count open runs by job. ARGV: a queue and some of its jobs; or nothing: those at work are counted. Answers jobs that
-- have some, each followed by its count.
local counts, answer = {}, {}
for index = 2, #ARGV do
  counts[ARGV[index]] = call('ZCARD', space .. ARGV[1] .. ':' .. ARGV[index])
end
if not ARGV[1] then
  for _, value in ipairs(fetch(RUNS, call('ZRANGE', space .. 'leases', 0, -1))) do
    local row = stored(value)
    if OPEN[row[STATUS]] then
      counts[row[JOB]] = (counts[row[JOB]] or 0) + 1
    end
  end
end
for name, count in pairs(counts) do
  if count > 0 then
    answer[#answer + 1] = name
    answer[#answer + 1] = count
  end
end
return answer

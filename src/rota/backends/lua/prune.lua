-- needs rows
-- Delete ended runs, a page at a time, oldest first. ARGV: job or '', [status, instant] pairs, the jobs to leave out,
-- limit, the place of a status, and how many of its oldest have been looked at and stay. Answers how many were deleted,
-- and the next two; a place of 0 is the end.
local job, excluded, limit = ARGV[1], set_of(ARGV[3]), tonumber(ARGV[4])
local place, passed = tonumber(ARGV[5]), tonumber(ARGV[6])
local PAGE, MOST_JOBS = 500, 1000
local status, instant = unpack(arrays_of(ARGV[2], 1)[place] or {})
if not status then
  return { 0, 0, 0 }
end

local function is_over(row)
  local ended = split(REST_OF_ROW, row[REST])
  if ended == 'null' then
    ended = row[QUEUED_AT]
  end
  return row[STATUS] == status and row[STUCK] ~= 'true' and tonumber(ended) < tonumber(instant)
    and (job == '' or row[JOB] == job) and not excluded[row[JOB]]
end

-- Who was queued later has ended later.
local function queued_before(source)
  return call('ZCOUNT', source, '-inf', '(' .. instant)
end

-- The sets that hold all that may go, and how much each holds: that of the status, or those of the jobs meant, whichever
-- hold less. What jobs that are left out keep for long is not looked through then, unless there are very many jobs.
local function sources()
  local names, of_status = { job }, space .. 'status:' .. status
  local most, found, total = queued_before(of_status), {}, 0
  if job == '' then
    names = next(excluded) and call('HLEN', JOBS) <= MOST_JOBS and call('HKEYS', JOBS)
  end
  for _, name in ipairs(names or {}) do
    if not excluded[name] then
      local key = space .. 'job:' .. name
      found[#found + 1] = { key, queued_before(key) }
      total = total + found[#found][2]
    end
  end
  return names and total <= most and found or { { of_status, most } }
end

local entries, skipped = {}, passed
for _, source in ipairs(sources()) do
  local key, count = unpack(source)
  if skipped < count and #entries < PAGE then
    local page = call('ZRANGEBYSCORE', key, '-inf', '(' .. instant, 'LIMIT', skipped, PAGE - #entries)
    for _, entry in ipairs(page) do
      entries[#entries + 1] = entry
    end
  end
  skipped = math.max(0, skipped - count)
end
local ids, deleted, looked = {}, {}, 0
for index, entry in ipairs(entries) do
  ids[index] = id_of(entry)
end
for index, value in ipairs(fetch(RUNS, ids)) do
  if #deleted == limit then
    break
  end
  looked = index
  local row = stored(value)
  if is_over(row) then
    deleted[#deleted + 1] = row[ID]
    call('ZREM', space .. 'job:' .. row[JOB], entries[index])
    call('ZREM', space .. 'status:' .. status, entries[index])
    if row[KEY] ~= 'null' and call('HGET', space .. 'keys', row[JOB] .. row[KEY]) == row[ID] then
      call('HDEL', space .. 'keys', row[JOB] .. row[KEY])
    end
    call('UNLINK', space .. 'logs:' .. row[ID], space .. 'values:"run:' .. sub(row[ID], 2))
  end
end
write('HDEL', RUNS, deleted)
if looked == PAGE or looked < #entries then
  return { #deleted, place, passed + looked - #deleted }
end
return { #deleted, place + 1, 0 }

-- needs rows
-- Runs by their marks, newest first, a page at a time. ARGV: job or '', statuses, origins, discarded (null: either), the
-- times of queueing from and before which ('' for none), limit, [first, last] tick or '', and where the last page ended.
-- Answers [where this page ended or null, rows].
local job, since, earlier, limit, ticks, cursor = ARGV[1], ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8], ARGV[9]
local statuses, origins, discarded = set_of(ARGV[2]), set_of(ARGV[3]), ARGV[4]
local first_tick, last_tick = unpack(items_of(ticks))
local PAGE, MOST = 200, 1000

local EVERY = {
  'queued', 'running', 'waiting', 'succeeded', 'failed', 'timed_out', 'cancelled', 'skipped', 'missed', 'lost',
  'handed_over',
}

local LEASES = space .. 'leases'

-- The sorted sets that hold all that is asked for: those of the statuses, or that of the job, whichever are smaller.
local function sources()
  local keys, total = {}, 0
  for _, status in ipairs(EVERY) do
    status = '"' .. status .. '"'
    if not statuses or statuses[status] then
      keys[#keys + 1] = status == RUNNING and LEASES or space .. 'status:' .. status
      total = total + call('ZCARD', keys[#keys])
    end
  end
  if job ~= '' and call('ZCARD', space .. 'job:' .. job) <= total then
    return { space .. 'job:' .. job }
  end
  return keys
end

local function stands_for_tick(row, rest)
  if row[SCHEDULED_FOR] == 'null' or tonumber(row[SCHEDULED_FOR]) < tonumber(first_tick) then
    return false
  end
  local earliest = row[SCHEDULED_FOR]
  if tonumber(rest[COUNT]) > 1 and rest[WINDOW_START] ~= 'null' then
    earliest = rest[WINDOW_START]
  end
  return tonumber(earliest) <= tonumber(last_tick)
end

local function is_wanted(row)
  local rest = { split(REST_OF_ROW, row[REST]) }
  return (job == '' or row[JOB] == job)
    and (not statuses or statuses[row[STATUS]])
    and (not origins or origins[row[ORIGIN]])
    and (discarded == 'null' or rest[DISCARDED] == discarded)
    and (not first_tick or stands_for_tick(row, rest))
end

-- Times in fixed width, followed by the entry, sort as the runs do.
local function handle_of(instant, entry)
  return rep('0', 16 - #instant) .. instant .. entry
end

local oldest = since ~= '' and since or '-inf'
local newest = earlier ~= '' and '(' .. earlier or '+inf'

-- All that are running, below the cursor; there are only so many workers.
local function running()
  local handles = {}
  for _, value in ipairs(fetch(RUNS, call('ZRANGE', LEASES, 0, -1))) do
    local row = stored(value)
    local handle, queued_at = handle_of(row[QUEUED_AT], row.number .. row[ID]), tonumber(row[QUEUED_AT])
    if row[STATUS] == RUNNING and (cursor == '' or handle < cursor)
      and (since == '' or queued_at >= tonumber(since)) and (earlier == '' or queued_at < tonumber(earlier)) then
      handles[#handles + 1] = handle
    end
  end
  table.sort(handles, function(one, other) return one > other end)
  return handles, false
end

-- The next of a source, below the cursor, and whether there may be more. Any number may share the cursor's time.
local function page_of(key)
  if key == LEASES then
    return running()
  end
  local handles, page, offset, from = {}, {}, 0, newest
  if cursor ~= '' then
    from = format('%.0f', tonumber(sub(cursor, 1, 16)))
  end
  repeat
    page = call('ZREVRANGEBYSCORE', key, from, oldest, 'WITHSCORES', 'LIMIT', offset, PAGE)
    for index = 1, #page, 2 do
      local handle = handle_of(page[index + 1], page[index])
      if cursor == '' or handle < cursor then
        handles[#handles + 1] = handle
      end
    end
    offset = offset + PAGE
  until #handles > 0 or #page < 2 * PAGE
  return handles, #page == 2 * PAGE
end

local keys, found, looked_at = sources(), {}, 0
local is_more = true
while is_more and #found < limit and looked_at < MOST do
  -- Below `horizon` a source that gave a full page may hold more.
  local handles, horizon = {}, ''
  is_more = false
  for _, key in ipairs(keys) do
    local page, is_full = page_of(key)
    for _, handle in ipairs(page) do
      handles[#handles + 1] = handle
    end
    if is_full then
      is_more = true
      if page[#page] > horizon then
        horizon = page[#page]
      end
    end
  end
  table.sort(handles, function(one, other) return one > other end)
  local ids = {}
  for index, handle in ipairs(handles) do
    if handle < horizon then
      break
    end
    ids[index] = id_of(sub(handle, 17))
  end
  for index, value in ipairs(fetch(RUNS, ids)) do
    cursor = handles[index]
    if is_wanted(stored(value)) then
      found[#found + 1] = text_in(value)
      if #found == limit then
        break
      end
    end
  end
  looked_at = looked_at + #ids
end
local is_over = not is_more or #found >= limit
return concat({ is_over and 'null' or '"' .. string.gsub(cursor, '[\\"]', '\\%0') .. '"', array(found) }, NUL)

-- needs rows
-- Changing runs and jobs, and writing them down with the indices by which they are found.
--
-- Law: a script judges a whole batch on what it loaded and changes nothing before it is through, so that an error leaves
-- nothing half done. `keep` puts a row in the place of another, `finish` writes everything that has changed; what needs
-- memory is written first, since a server that is full refuses it before anything was taken away.

-- Rows as they stood before, leases as they are to be (false: to be given up), ids in order; jobs by name.
local before, leases, touched, changed = {}, {}, {}, {}

-- Say that a job is changed; call it after the change.
local function touch(job, name)
  job.text = nil
  changed[name] = job
end

-- Bring the live runs of a job up to date with a row.
local function note(job, row)
  if row[ORIGIN] ~= '"tick"' then
    return
  end
  local is_live = row[STUCK] == 'true' or OPEN[row[STATUS]]
  -- Nearly always it is the only one.
  if not job.live and (job[LIVE] == '[]' or is_only_live(job, row[ID])) then
    job[LIVE] = is_live and array({ row[ID], tick_of(row), row[STATUS], row[STUCK] }) or '[]'
    return
  end
  local live, at = live_of(job), nil
  for index = 1, #live do
    if live[index][1] == row[ID] then
      at = index
      break
    end
  end
  if not is_live then
    if at then
      table.remove(live, at)
    end
  elseif at then
    live[at][3], live[at][4] = row[STATUS], row[STUCK]
  else
    local tick, place = tonumber(tick_of(row)), #live + 1
    while place > 1 and live[place - 1][2] > tick do
      place = place - 1
    end
    table.insert(live, place, { row[ID], tick, row[STATUS], row[STUCK] })
  end
end

-- Changing rows --------------------------------------------------------------------------------------------------

local lanes = {}

local function in_lane(lane)
  if not lanes[lane] then
    lanes[lane] = tonumber(call('HGET', space .. 'lanes', lane) or 0)
  end
  return lanes[lane]
end

-- Put `row`, which may be the very row that is kept, in the place of the kept one; `was_held`: before it was changed.
local function keep(row, job, was_held)
  local id, held = row[ID], is_held(row)
  rows[id] = row
  note(job, row)
  if held ~= was_held then
    local step = held and 1 or -1
    job[WORKING] = int(job[WORKING] + step)
    if row[LANE] ~= 'null' then
      lanes[row[LANE]] = in_lane(row[LANE]) + step
      lanes.changed = true
    end
    if not held then
      leases[id] = false
    end
  end
  touch(job, row[JOB])
end

-- Remember how a row stands in the indices before it is changed for the first time.
local function about_to_change(id, row)
  if before[id] == nil then
    touched[#touched + 1] = id
    before[id] = row and { row[STATUS], queue_of(row), row[DUE] } or false
  end
end

-- `working`, lanes and ticks before forbid that a run begins now.
local function is_busy(row, job, job_limit, after_ticks)
  if job_limit ~= 'null' and tonumber(job[WORKING]) >= tonumber(job_limit) then
    return true
  end
  if row[LANE] ~= 'null' and row[LANE_LIMIT] ~= 'null' and in_lane(row[LANE]) >= tonumber(row[LANE_LIMIT]) then
    return true
  end
  if after_ticks ~= 'true' or row[SCHEDULED_FOR] == 'null' or (not job.live and job[LIVE] == '[]') then
    return false
  end
  local tick = tonumber(row[SCHEDULED_FOR])
  for _, live in ipairs(live_of(job)) do
    if live[1] ~= row[ID] and (live[2] < tick or live[4] == 'true' or live[3] == RUNNING) then
      return true
    end
  end
  return false
end

local instant, lease_ends = int(now), {}

-- Make it a running run, held by a token for a span, with the job's next fence.
local function begin(row, job, token, node, span)
  local was_held = is_held(row)
  lease_ends[span] = lease_ends[span] or int(now + span)
  job[FENCES] = int(job[FENCES] + 1)
  row[FENCE], row[STATUS], row[TOKEN], row[NODE] = job[FENCES], RUNNING, token, node
  row[ATTEMPT] = int(row[ATTEMPT] + 1)
  row[ATTEMPT_STARTED_AT], row[REASON] = instant, '""'
  if row[STARTED_AT] == 'null' then
    row[STARTED_AT] = instant
  end
  keep(row, job, was_held)
  leases[row[ID]] = lease_ends[span]
end

-- Ask a run to stop, unless it has been asked; false: it is of none of the statuses.
local function request_cancel(id, reason, statuses)
  if not rows[id] then
    load_rows({ id })
  end
  local row = rows[id]
  if not row or not statuses[row[STATUS]] then
    return false
  end
  if row[CANCEL] == 'null' then
    about_to_change(id, row)
    row[CANCEL] = reason
  end
  return true
end

-- Writing it down ------------------------------------------------------------------------------------------------

local function append(lists, name, first, second)
  local list = lists[name]
  if not list then
    list = {}
    lists[name] = list
  end
  local size = #list
  list[size + 1], list[size + 2] = first, second
end

local function write_all(command, lists)
  for name, arguments in pairs(lists) do
    write(command, space .. name, arguments)
  end
end

-- The first of a queue stands for its job.
local function head_queue(queue, job)
  local first = call('ZRANGE', space .. queue .. ':' .. job, 0, 0, 'WITHSCORES')
  if first[1] then
    call('ZADD', space .. queue, first[2], job)
  else
    call('ZREM', space .. queue, job)
  end
end

local function number_new_rows()
  local new = {}
  for _, id in ipairs(touched) do
    if not before[id] then
      new[#new + 1] = rows[id]
    end
  end
  if #new > 0 then
    local number = call('INCRBY', space .. 'number', #new) - #new
    for index, row in ipairs(new) do
      row.number = format('%012x', number + index)
    end
  end
end

local function finish()
  number_new_rows()
  local texts, entered, left, heads = {}, {}, {}, {}
  for index, id in ipairs(touched) do
    local row, old = rows[id], before[id]
    local queue, status, name, entry = queue_of(row), row[STATUS], row[JOB], row.number .. id
    row[#row + 1] = row.number
    texts[2 * index - 1], texts[2 * index] = id, concat(row, NUL)
    if not old then
      call('ZADD', space .. 'job:' .. name, row[QUEUED_AT], entry)
      if row[KEY] ~= 'null' and row[ORIGIN] == '"enqueue"' then
        call('HSET', space .. 'keys', name .. row[KEY], id)
      end
    end
    local was = old and old[1]
    if was ~= status then
      if status ~= RUNNING then
        append(entered, 'status:' .. status, row[QUEUED_AT], entry)
      end
      if was and was ~= RUNNING then
        append(left, 'status:' .. was, entry)
      end
    end
    local was_queued, was_due = old and old[2], old and old[3]
    if queue and (queue ~= was_queued or row[DUE] ~= was_due) then
      append(entered, queue .. ':' .. name, row[DUE], entry)
      heads[name .. queue] = { queue, name }
    elseif was_queued and not queue then
      append(left, was_queued .. ':' .. name, entry)
      heads[name .. was_queued] = { was_queued, name }
    end
  end
  for id, ends in pairs(leases) do
    if ends then
      append(entered, 'leases', ends, id)
    else
      append(left, 'leases', id)
    end
  end
  write('HSET', RUNS, texts)
  local facts = {}
  for name, job in pairs(changed) do
    facts[#facts + 1] = name
    facts[#facts + 1] = state_of(job)
  end
  write('HSET', JOBS, facts)
  write_all('ZADD', entered)
  write_all('ZREM', left)
  for _, head in pairs(heads) do
    head_queue(head[1], head[2])
  end
  if lanes.changed then
    lanes.changed = nil
    for lane, working in pairs(lanes) do
      if working > 0 then
        call('HSET', space .. 'lanes', lane, int(working))
      else
        call('HDEL', space .. 'lanes', lane)
      end
    end
  end
end

-- The answer where a job was never declared: its name, for the caller to raise.
local function unknown(name)
  return '{"unknown":' .. name .. '}'
end

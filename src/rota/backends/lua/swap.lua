-- needs changes
-- Replace rows that are still as their swap expects them. ARGV: asks, rows, log lines; each ask says how many lines are
-- its own. Answers for each whether it was swapped, and the state of the job.
local asks, news, lines = arrays_of(ARGV[1], 5), arrays_of(ARGV[2], SCHEDULED_FOR), items_of(ARGV[3])
local kept, ids, names = {}, {}, {}
for index, row in ipairs(news) do
  ids[index], names[index] = row[ID], row[JOB]
end
for index, value in ipairs(fetch(RUNS, ids)) do
  kept[ids[index]] = value
end
load_jobs(names)

local function is_over(id)
  return tonumber(call('ZSCORE', space .. 'leases', id) or 0) <= now
end

-- Make `new` what is to be kept in the place of `old`.
local function settle(new, old)
  if not is_held(new) then
    new[TOKEN] = 'null'
  end
  new[PROGRESS], new.number = old[PROGRESS], old.number
  if old[STATUS] == RUNNING and (IN_QUEUE[new[STATUS]] or new[STATUS] == RUNNING) then
    new[CANCEL] = old[CANCEL]
  end
end

local function remember_end(job, covered, streak)
  if covered ~= 'null' and (job[COVERED] == 'null' or tonumber(covered) > tonumber(job[COVERED])) then
    job[COVERED] = covered
  end
  if streak == '0' then
    job[STREAK] = '0'
  elseif streak ~= 'null' then
    job[STREAK] = int(job[STREAK] + 1)
  end
end

local answers, logs, next_line = {}, {}, 1
for index, new in ipairs(news) do
  local status, token, expired, covered, streak, line_count = unpack(asks[index])
  local id, job, first, is_swapped = new[ID], jobs[new[JOB]], next_line, false
  local old = rows[id] or (kept[id] and glance(kept[id]))
  next_line = first + line_count
  if old then
    settle(new, old)
    if new[STATUS] == old[STATUS] and text_of(new) == (rows[id] and text_of(old) or text_in(kept[id])) then
      is_swapped = true
    elseif old[STATUS] == status and old[TOKEN] == token
      and (expired ~= 'true' or (is_held(old) and is_over(id))) then
      is_swapped = true
      old[ORIGIN] = new[ORIGIN]
      about_to_change(id, old)
      remember_end(job, covered, streak)
      keep(new, job, is_held(old))
      for at = first, next_line - 1 do
        append(logs, 'logs:' .. id, lines[at])
      end
    end
  end
  answers[2 * index - 1], answers[2 * index] = tostring(is_swapped), state_of(job)
end
finish()
write_all('RPUSH', logs)
return concat(answers, NUL)

-- Runs and jobs: how they are kept, and how they are taken apart.
--
-- runs          hash     id -> text of the row, with its number as the last item
-- jobs          hash     id -> text of the job
-- job:<id>      sorted   entries of the job's runs by the time of queueing
-- status:<s>    sorted   entries of the runs of a status by the time of queueing; those that are running are in leases
-- due, late     sorted   jobs by the first `due` of their queue; `late` holds backfills
-- due:<job>     sorted   the queue of a job, entries by `due`; likewise late:<job>
-- leases        sorted   runs at work by the end of their lease
-- lanes         hash     how many runs of a lane are at work
-- keys          hash     job and key of an enqueued run -> its id
-- number        counter  of runs, in order of arrival
--
-- An entry is the number of a run, in fixed width, and its id: among equal times the order is that of arrival.

-- The items of a row that are looked at or changed here, and the rest of its text. Taking a text apart is what costs
-- most: a `glance` takes only the first, a swap only as far as the tick, and what only a search looks at stays in the
-- rest.
local STATUS, STUCK, TOKEN, DUE, CANCEL, PROGRESS, ID, JOB, ORIGIN, QUEUED_AT, LANE, SCHEDULED_FOR, LANE_LIMIT, KEY,
  ATTEMPT, STARTED_AT, FENCE, NODE, ATTEMPT_STARTED_AT, REASON, REST =
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21
local GLANCE, ROW = items(PROGRESS), items(REASON)
-- What the rest begins with.
local FINISHED_AT, DISCARDED, COUNT, WINDOW_START = 1, 2, 3, 4
local REST_OF_ROW = items(WINDOW_START)

local SIGNATURE, FIRST_SEEN, WATERMARK, CLAIMED, FENCES, COVERED, STREAK, PAUSED_AT, PAUSE_REASON, WORKING, LIVE =
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
local JOB_FACTS = items(WORKING)
-- A job that nobody has declared has no signature.
local NEW_JOB = concat({ 'null', '0', '0', '0', '0', 'null', '0', 'null', '""', '0', '[]' }, NUL)

local RUNNING = '"running"'
local IN_QUEUE = { ['"queued"'] = true, ['"waiting"'] = true }
local OPEN = { ['"queued"'] = true, ['"waiting"'] = true, [RUNNING] = true }

local RUNS, JOBS = space .. 'runs', space .. 'jobs'

-- Rows -----------------------------------------------------------------------------------------------------------

local rows = {}

-- A row as it is kept: its items, and its number.
local function stored(value)
  local row = { split(ROW, value) }
  row[REST] = sub(value, row[REST], -14)
  row.number = sub(value, -12)
  return row
end

local function text_of(row)
  return array(row)
end

-- The same of one that is only looked at.
local function text_in(value)
  return '[' .. sub(value, 1, -14) .. ']'
end

local function load_rows(ids)
  for index, value in ipairs(fetch(RUNS, ids)) do
    if value then
      rows[ids[index]] = stored(value)
    end
  end
end

-- The first items of a row as it is kept, up to its progress, and its number.
local function glance(value)
  local row = { split(GLANCE, value) }
  row.number = sub(value, -12)
  return row
end

local function id_of(entry)
  return sub(entry, 13)
end

local function is_held(row)
  return row[STUCK] == 'true' or row[STATUS] == RUNNING
end

local function queue_of(row)
  if IN_QUEUE[row[STATUS]] and row[STUCK] ~= 'true' then
    return row[ORIGIN] == '"backfill"' and 'late' or 'due'
  end
end

-- Jobs -----------------------------------------------------------------------------------------------------------

local jobs = {}

local function parsed(text)
  local job = { split(JOB_FACTS, text) }
  job[LIVE] = sub(text, job[LIVE])
  return job
end

local function load_jobs(names)
  local missing, met = {}, {}
  for _, name in ipairs(names) do
    if not jobs[name] and not met[name] then
      met[name] = true
      missing[#missing + 1] = name
    end
  end
  for index, value in ipairs(fetch(JOBS, missing)) do
    jobs[missing[index]] = parsed(value or NEW_JOB)
  end
end

local function is_declared(job)
  return job[SIGNATURE] ~= 'null'
end

-- The live tick runs, oldest tick first, each { id, tick, status, stuck }.
local function live_of(job)
  if not job.live then
    local live = {}
    if job[LIVE] ~= '[]' then
      for id, tick, status, stuck in gmatch(job[LIVE], '(".-")%z(%-?%d+)%z(".-")%z(%a+)') do
        live[#live + 1] = { id, tonumber(tick), status, stuck }
      end
    end
    job.live = live
  end
  return job.live
end

-- Whether a run is the only live one. They are { id, tick, status, stuck } each.
local function is_only_live(job, id)
  local first, _, _, stuck = split('sss', job[LIVE], 2)
  return first == id and not find(job[LIVE], NUL, stuck, true)
end

local function tick_of(row)
  return row[SCHEDULED_FOR] ~= 'null' and row[SCHEDULED_FOR] or '0'
end

local function live_ids(job)
  if not job.live and job[LIVE] == '[]' then
    return '[]'
  end
  local ids = {}
  for index, live in ipairs(live_of(job)) do
    ids[index] = live[1]
  end
  return array(ids)
end

-- The text of a job; it stands until the job is touched again.
local function state_of(job)
  if job.text then
    return job.text
  end
  if job.live then
    local texts = {}
    for index, live in ipairs(job.live) do
      local id, tick, status, stuck = unpack(live)
      texts[index] = concat({ id, int(tick), status, stuck }, NUL)
    end
    job[LIVE] = array(texts)
  end
  job.text = concat(job, NUL)
  return job.text
end

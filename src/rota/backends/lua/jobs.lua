-- needs changes
-- Declare jobs, or look at them, or pause one. ARGV: 'sync' and [id, signature, renamed from] of each, 'look' and ids, or
-- 'pause' with id and reason (null: resume). Answers their states.
local verb, answers = ARGV[1], {}

local function later(one, other)
  return tonumber(one) > tonumber(other) and one or other
end

-- Let a renamed job go on where it stood under its earlier id; what it has done under the new one stays done.
local function carry_over(earlier, job)
  local watermark, fence = earlier[WATERMARK], earlier[FENCES]
  if is_declared(job) then
    watermark, fence = later(job[WATERMARK], watermark), later(job[FENCES], fence)
  end
  for fact = SIGNATURE, PAUSE_REASON do
    job[fact] = earlier[fact]
  end
  job[WATERMARK], job[FENCES] = watermark, fence
end

local renames, dropped = space .. 'renames', {}

local function declare(id, signature, renamed_from)
  local name = renamed_from ~= 'null' and renamed_from or id
  local earlier_id = call('HGET', renames, name)
  load_jobs({ name, earlier_id or name })
  local job = jobs[name]
  if renamed_from ~= 'null' and call('HGET', renames, id) ~= renamed_from then
    call('HSET', renames, id, renamed_from)
  end
  if earlier_id and (renamed_from == 'null' or not is_declared(job)) then
    if is_declared(jobs[earlier_id]) then
      carry_over(jobs[earlier_id], job)
      touch(job, name)
    end
    dropped[#dropped + 1] = name
  end
  if not is_declared(job) then
    job[SIGNATURE], job[FIRST_SEEN], job[WATERMARK] = signature, instant, instant
    touch(job, name)
  elseif job[SIGNATURE] ~= signature then
    job[SIGNATURE], job[WATERMARK] = signature, later(job[WATERMARK], instant)
    touch(job, name)
  end
  return state_of(job)
end

local function set_pause(job, reason)
  if reason ~= 'null' then
    job[PAUSE_REASON] = reason
    if job[PAUSED_AT] == 'null' then
      job[PAUSED_AT] = instant
    end
  elseif job[PAUSED_AT] ~= 'null' then
    job[PAUSED_AT], job[PAUSE_REASON], job[STREAK] = 'null', '""', '0'
  end
end

if verb == 'sync' then
  local names, seen = {}, arrays_of(ARGV[2], 2)
  for index, facts in ipairs(seen) do
    local id, _, renamed_from = unpack(facts)
    names[index] = renamed_from ~= 'null' and renamed_from or id
  end
  load_jobs(names)
  for index, facts in ipairs(seen) do
    answers[index] = declare(unpack(facts))
  end
else
  local names = items_of(ARGV[2])
  load_jobs(names)
  for index, name in ipairs(names) do
    local job = jobs[name]
    if verb == 'pause' and is_declared(job) then
      set_pause(job, ARGV[3])
      touch(job, name)
    end
    answers[index] = state_of(job)
  end
end
finish()
write('HDEL', renames, dropped)
return concat(answers, NUL)

-- needs changes
-- Claim ticks. ARGV: asks, the rows to insert, the ids of runs to be replaced; each ask says how many are its own.
-- Answers the time, and for each the verdict, what was begun, and the state of the job. Begun is null, the fence of the
-- run, or, for a claim that was made before, the row as it stands.
local CLAIMED_NOW, TAKEN, TOO_EARLY = '"claimed"', '"taken"', '"too_early"'

local asks, new, replaced = arrays_of(ARGV[1], 13), arrays_of(ARGV[2], REASON), items_of(ARGV[3])
local names = {}
for index, ask in ipairs(asks) do
  names[index] = ask[1]
end
load_jobs(names)
for _, name in ipairs(names) do
  if not is_declared(jobs[name]) then
    return unknown(name)
  end
end

-- A claim that was made before: its first row is known.
local function made_before(first, start, token)
  local id = first[ID]
  load_rows(rows[id] and {} or { id })
  if not rows[id] then
    return false
  end
  if start and not rows[start] then
    load_rows({ start })
  end
  local row = start and rows[start]
  if row and row[STATUS] == RUNNING and row[TOKEN] == token then
    return true, text_of(row)
  end
  return true
end

local answers, next_row, next_replaced = { int(now) }, 1, 1
for index, ask in ipairs(asks) do
  local name, previous, tick, paused, counts, start, token, node, span, job_limit, after_ticks, row_count, cancel_count,
    live = unpack(ask)
  local job, first, cancel = jobs[name], next_row, next_replaced
  local start_at = first + start - 1
  next_row, next_replaced = first + row_count, cancel + cancel_count

  local instant_of_tick, watermark = tonumber(tick), tonumber(job[WATERMARK])
  local is_outdated = (previous ~= 'null' and (job[WATERMARK] ~= previous or instant_of_tick <= watermark))
    or (job[PAUSED_AT] ~= 'null') ~= (paused == 'true')
    or (live ~= 'null' and live ~= live_ids(job))
  local was_made, begun, verdict
  if (is_outdated or previous == 'null') and next_row > first then
    was_made, begun = made_before(new[first], start ~= '0' and new[start_at][ID], token)
  end
  if was_made then
    verdict = CLAIMED_NOW
  elseif is_outdated then
    verdict = TAKEN
  elseif instant_of_tick > now then
    verdict = TOO_EARLY
  else
    verdict = CLAIMED_NOW
    if instant_of_tick > watermark then
      job[WATERMARK] = tick
    end
    job[CLAIMED] = int(job[CLAIMED] + counts)
    touch(job, name)
    for at = cancel, next_replaced - 1 do
      request_cancel(replaced[at], '"replaced"', OPEN)
    end
    for at = first, next_row - 1 do
      local row = new[at]
      about_to_change(row[ID], nil)
      if at == start_at and not is_busy(row, job, job_limit, after_ticks) then
        begin(row, job, token, node, span)
        begun = row[FENCE]
      else
        keep(row, job, false)
        if is_held(row) then
          leases[row[ID]] = leases[row[ID]] or '0'
        end
      end
    end
  end
  answers[3 * index - 1], answers[3 * index], answers[3 * index + 1] = verdict, begun or 'null', state_of(job)
end
finish()
return concat(answers, NUL)

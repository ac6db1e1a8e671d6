-- needs changes
-- Take runs that may be taken. ARGV: asks. Answers for each "gone", "busy", or the row as it now stands.
local asks, ids, names = arrays_of(ARGV[1], 6), {}, {}
for index, ask in ipairs(asks) do
  ids[index] = ask[1]
end
load_rows(ids)
for _, row in pairs(rows) do
  names[#names + 1] = row[JOB]
end
load_jobs(names)

local answers = {}
for index, ask in ipairs(asks) do
  local id, attempt, token, node, span, job_limit, after_ticks = unpack(ask)
  local row = rows[id]
  if not row then
    answers[index] = '"gone"'
  elseif row[STATUS] == RUNNING and row[TOKEN] == token then
    leases[id] = int(now + span)
    answers[index] = text_of(row)
  elseif not IN_QUEUE[row[STATUS]] or row[ATTEMPT] ~= attempt or row[STUCK] == 'true' or row[CANCEL] ~= 'null' then
    answers[index] = '"gone"'
  else
    local job = jobs[row[JOB]]
    if not is_declared(job) then
      return unknown(row[JOB])
    end
    if is_busy(row, job, job_limit, after_ticks) then
      answers[index] = '"busy"'
    else
      about_to_change(id, row)
      begin(row, job, token, node, span)
      answers[index] = text_of(row)
    end
  end
end
finish()
return concat(answers, NUL)

-- needs changes
-- Insert runs that are not known by their id, or by their key, yet. ARGV: rows. Answers null for each that was inserted,
-- else the row that is kept in its place.
local new, ids, names, fields = arrays_of(ARGV[1], REASON), {}, {}, {}
for index, row in ipairs(new) do
  ids[index], names[index] = row[ID], row[JOB]
  fields[index] = row[JOB] .. row[KEY]
end
load_jobs(names)
load_rows(ids)
local keyed = fetch(space .. 'keys', fields)

local answers, by_key = {}, {}
for index, row in ipairs(new) do
  local has_key = row[KEY] ~= 'null' and row[ORIGIN] == '"enqueue"'
  local kept = rows[row[ID]]
  if not kept and has_key then
    local id = by_key[fields[index]] or keyed[index]
    if id and not rows[id] then
      load_rows({ id })
    end
    kept = id and rows[id]
  end
  if kept then
    answers[index] = text_of(kept)
  else
    about_to_change(row[ID], nil)
    keep(row, jobs[row[JOB]], false)
    if is_held(row) then
      leases[row[ID]] = '0'
    end
    if has_key then
      by_key[fields[index]] = row[ID]
    end
    answers[index] = 'null'
  end
end
finish()
return concat(answers, NUL)

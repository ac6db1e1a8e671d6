-- needs changes
-- Note how far a run is, or take a dead letter off the list. ARGV: id, 'progress' with token and text, or 'discard'.
-- Answers 1, or 0 where the run is not held by that token, or is no dead letter.
local id, what, token, text = unpack(ARGV)
local DEAD_LETTERS = { ['"failed"'] = true, ['"timed_out"'] = true, ['"lost"'] = true }
load_rows({ id })
local row = rows[id]
if not row then
  return 0
end
if what == 'discard' then
  if not DEAD_LETTERS[row[STATUS]] then
    return 0
  end
  about_to_change(id, row)
  local finished_at, _, others = split(items(DISCARDED), row[REST])
  row[REST] = finished_at .. NUL .. 'true' .. NUL .. sub(row[REST], others)
else
  if row[TOKEN] ~= token then
    return 0
  end
  about_to_change(id, row)
  row[PROGRESS] = text
end
finish()
return 1

-- needs rows
-- Keep a value. ARGV: scope, key, value, span or '', the id of the run that must hold or '', its token. Answers 1, or 0
-- where the run is not held by that token.
local scope, key, value, span, holder, token = unpack(ARGV)
if holder ~= '' then
  load_rows({ holder })
  if not rows[holder] or rows[holder][TOKEN] ~= token then
    return 0
  end
end
local member = scope .. NUL .. key
if span == '' then
  call('HSET', space .. 'values:' .. scope, key, ':' .. value)
  call('ZREM', space .. 'values', member)
else
  local ends = int(now + span)
  call('HSET', space .. 'values:' .. scope, key, ends .. ':' .. value)
  call('ZADD', space .. 'values', ends, member)
end
return 1

-- Compare-and-set watermarks, in order. ARGV: previous ('' for none), tick and name of each. Answers the time, and of
-- each the verdict and where the watermark stands ('' for nowhere).
local watermarks, answers = space .. 'watermarks', { int(now) }
for index = 1, #ARGV, 3 do
  local previous, tick, name = ARGV[index], ARGV[index + 1], ARGV[index + 2]
  local stands = call('HGET', watermarks, name) or ''
  local verdict = 'claimed'
  if stands ~= previous or (stands ~= '' and tonumber(tick) <= tonumber(stands)) then
    verdict = 'taken'
  elseif tonumber(tick) > now then
    verdict = 'too_early'
  else
    call('HSET', watermarks, name, tick)
    stands = tick
  end
  answers[#answers + 1] = verdict
  answers[#answers + 1] = stands
end
return answers

-- The values of a scope. ARGV: scope. Answers a JSON object.
local kept, found = call('HGETALL', space .. 'values:' .. ARGV[1]), {}
for index = 1, #kept, 2 do
  local ends, value = match(kept[index + 1], '^(%d*):(.*)$')
  if ends == '' or tonumber(ends) > now then
    found[#found + 1] = kept[index] .. ':' .. value
  end
end
return '{' .. concat(found, ',') .. '}'

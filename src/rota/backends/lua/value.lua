-- One value of a scope. ARGV: scope, key. Answers its text, or nothing.
local ends, value = match(call('HGET', space .. 'values:' .. ARGV[1], ARGV[2]) or '0:', '^(%d*):(.*)$')
return (ends == '' or tonumber(ends) > now) and value

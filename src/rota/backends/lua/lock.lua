-- Acquire, renew or release a lease. ARGV: verb, name, token, span. Answers the fence, or 0.
--
-- locks: hash, name -> fence, end of the lease, token. The end is compared with the server's clock rather than left to
-- the expiry of a key: keys that expire are what a volatile-* policy evicts, and a fence must never be lost.
-- fence_floor: string, above which the fence of a name begins that is not known.
local verb, name, token, span = unpack(ARGV)
local locks = space .. 'locks'
local kept = call('HGET', locks, name) or (call('GET', space .. 'fence_floor') or '0') .. ':0:'
local fence, ends, holder = match(kept, '^(%d+):(%d+):(.*)$')
local is_held = holder ~= '' and tonumber(ends) > now

if verb == 'acquire' then
  if is_held and holder ~= token then
    return 0
  end
  if not is_held then
    fence = int(fence + 1)
  end
elseif not is_held or holder ~= token then
  return 0
end
if verb == 'release' then
  call('HSET', locks, name, fence .. ':0:')
else
  call('HSET', locks, name, fence .. ':' .. int(now + span) .. ':' .. token)
end
return tonumber(fence)

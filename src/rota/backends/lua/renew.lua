-- needs rows
-- Write a node's sign of life and extend the leases that are still held. ARGV: node id, node, span, [id, token] pairs.
-- Answers [the places of those that are lost], [[place, reason] of those that are asked to stop].
local ids, tokens = {}, {}
for index, pair in ipairs(arrays_of(ARGV[4], 1)) do
  ids[index], tokens[index] = unpack(pair)
end
load_rows(ids)
local lost, cancelled, extended, ends = {}, {}, {}, int(now + ARGV[3])
for index, id in ipairs(ids) do
  local row = rows[id]
  local until_now = row and row[TOKEN] == tokens[index] and call('ZSCORE', space .. 'leases', id)
  if not until_now or tonumber(until_now) <= now then
    lost[#lost + 1] = int(index - 1)
  else
    extended[#extended + 1] = ends
    extended[#extended + 1] = id
    if row[CANCEL] ~= 'null' then
      cancelled[#cancelled + 1] = array({ int(index - 1), row[CANCEL] })
    end
  end
end
call('HSET', space .. 'nodes', ARGV[1], ARGV[2])
write('ZADD', space .. 'leases', extended)
return concat({ array(lost), array(cancelled) }, NUL)

-- needs rows
-- Runs that may begin now, backfills last, and those at work whose lease has run out. ARGV: before, limit, the jobs to
-- leave out. Answers [rows, rows].
local latest, limit, excluded = ARGV[1], tonumber(ARGV[2]), set_of(ARGV[3])
local PAGE = 200

-- The first `count` of { due, entry }, in order.
local function cut(found, count)
  table.sort(found, function(one, other)
    if one[1] ~= other[1] then
      return one[1] < other[1]
    end
    return one[2] < other[2]
  end)
  for index = #found, count + 1, -1 do
    found[index] = nil
  end
end

-- Jobs come by the first of their queues. Once enough is found, only what is earlier than the last of it is looked at.
local function first_of(queue, count)
  local found, bound, offset = {}, latest, 0
  while count > 0 do
    local heads = call('ZRANGEBYSCORE', space .. queue, '-inf', bound, 'LIMIT', offset, PAGE)
    for _, name in ipairs(heads) do
      if not excluded[name] then
        local key = space .. queue .. ':' .. name
        local entries = call('ZRANGEBYSCORE', key, '-inf', bound, 'WITHSCORES', 'LIMIT', 0, count)
        for index = 1, #entries, 2 do
          found[#found + 1] = { tonumber(entries[index + 1]), entries[index] }
        end
        if #found >= 2 * count then
          cut(found, count)
          bound = '(' .. int(found[count][1])
        end
      end
    end
    if #heads < PAGE then
      break
    end
    offset = offset + PAGE
  end
  cut(found, count)
  local ids = {}
  for index, entry in ipairs(found) do
    ids[index] = id_of(entry[2])
  end
  return ids
end

local function add_texts(texts, ids)
  for _, value in ipairs(fetch(RUNS, ids)) do
    texts[#texts + 1] = text_in(value)
  end
end

local function expired()
  local texts, offset = {}, 0
  while #texts < limit do
    local ids = call('ZRANGEBYSCORE', space .. 'leases', '-inf', int(now), 'LIMIT', offset, PAGE)
    for _, value in ipairs(fetch(RUNS, ids)) do
      if #texts < limit and not excluded[stored(value)[JOB]] then
        texts[#texts + 1] = text_in(value)
      end
    end
    if #ids < PAGE then
      break
    end
    offset = offset + PAGE
  end
  return texts
end

local ready = {}
add_texts(ready, first_of('due', limit))
if #ready < limit then
  add_texts(ready, first_of('late', limit - #ready))
end
return concat({ array(ready), array(expired()) }, NUL)

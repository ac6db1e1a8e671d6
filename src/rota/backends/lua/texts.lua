-- What every script begins with: the namespace, the time, and texts.
--
-- Law: a fact is kept and compared as its JSON text and is never decoded: '"running"', 'null', '1780000000000000'. A
-- text is a JSON array with a comma and a line feed between its items. No JSON string contains a line feed, so it can
-- be taken apart and put together without being understood; and a number of microseconds is turned into one of Lua's
-- only to be compared or counted, never into text by Lua's own rules, which would write 1.78e+15.
--
-- Lua looks at every byte of every new string: what is long is cut out once and joined once, and not made in between.

local call, space = redis.call, KEYS[1]
local sub, find, match, gmatch, format, rep = string.sub, string.find, string.match, string.gmatch, string.format, string.rep
local concat, tonumber = table.concat, tonumber
local now = clock()

local ints = {}

-- A whole number as text; the small ones come again and again.
local function int(number)
  local text = ints[number]
  if not text then
    text = format('%.0f', number)
    ints[number] = text
  end
  return text
end

local ITEM = '([^\n]*),\n'

-- The arrays of a batch: of each its first items, as many as are asked for, and the rest of its text. With 1 these are
-- { 'a', 'b,\nc' } and { 'd', 'e' } of '[[a,\nb,\nc],\n[d,\ne]]'.
local function arrays_of(batch, count)
  local arrays, number, start = {}, 0, 2
  local pattern, rest = '^%[' .. rep(ITEM, count) .. '()', count + 1
  while start < #batch do
    local array = { match(batch, pattern, start) }
    local stop = find(batch, '],\n', array[rest], true) or #batch - 1
    array[rest] = sub(batch, array[rest], stop - 1)
    number = number + 1
    arrays[number] = array
    start = stop + 3
  end
  return arrays
end

-- The items of a list of scalars: 'a' and 'b' of '[a,\nb]'.
local function items_of(list)
  local items, number = {}, 0
  if list ~= '[]' then
    for item in gmatch(sub(list, 2, -2) .. ',\n', '(.-),\n') do
      number = number + 1
      items[number] = item
    end
  end
  return items
end

-- The same items as the keys of a table, or nil for null.
local function set_of(list)
  if list == 'null' then
    return nil
  end
  local set = {}
  for _, item in ipairs(items_of(list)) do
    set[item] = true
  end
  return set
end

-- Lua's stack holds some thousand arguments.
local function slices(list, use)
  for first = 1, #list, 4000 do
    use(first, math.min(first + 3999, #list))
  end
end

-- A command with any number of arguments after the key.
local function write(command, key, arguments)
  slices(arguments, function(first, last)
    call(command, key, unpack(arguments, first, last))
  end)
end

-- The fields of a hash, in order; false for one that is not there.
local function fetch(key, fields)
  local values = {}
  slices(fields, function(first, last)
    for index, value in ipairs(call('HMGET', key, unpack(fields, first, last))) do
      values[first + index - 1] = value
    end
  end)
  return values
end

-- A list as JSON.
local function array(items)
  return '[' .. concat(items, ',') .. ']'
end

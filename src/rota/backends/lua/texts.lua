-- What every script begins with: the namespace, the time, and texts.
--
-- Law: a fact is kept and compared as its JSON text and is never decoded: '"running"', 'null', '1780000000000000'. A
-- text is a JSON array with a NUL in the place of the comma between its items. No JSON string contains a NUL, so it can
-- be taken apart and put together without being understood; and a number of microseconds is turned into one of Lua's
-- only to be compared or counted, never into text by Lua's own rules, which would write 1.78e+15.
--
-- What costs most is to take texts apart, and long strings, of which Lua looks at every byte. So a text is taken apart
-- by `struct`, to which a NUL is the end of an item, and what is long is cut out once and joined once: what is kept, and
-- what is answered, does without the outermost brackets.

local call, space = redis.call, KEYS[1]
local sub, find, match, gmatch, format, rep = string.sub, string.find, string.match, string.gmatch, string.format, string.rep
local split, concat, tonumber = struct.unpack, table.concat, tonumber
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

local NUL = '\0'

-- How `struct` is told to take apart so many items.
local function items(count)
  return rep('s', count)
end

-- The arrays of a batch: of each its first items, as many as are asked for, and the rest of its text. With 1 these are
-- { 'a', 'b|c' } and { 'd', 'e' } of '[[a|b|c]|[d|e]]', with a NUL for each '|'.
local function arrays_of(batch, count)
  local arrays, number, start = {}, 0, 2
  local first, rest = items(count), count + 1
  while start < #batch do
    local array = { split(first, batch, start + 1) }
    local stop = find(batch, ']\0', array[rest], true) or #batch - 1
    array[rest] = sub(batch, array[rest], stop - 1)
    number = number + 1
    arrays[number] = array
    start = stop + 2
  end
  return arrays
end

-- The items of a list of scalars: 'a' and 'b' of '[a|b]'.
local function items_of(list)
  local found, number = {}, 0
  for item in gmatch(sub(list, 2, -2), '[^%z]+') do
    number = number + 1
    found[number] = item
  end
  return found
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

-- A list as text.
local function array(list)
  return '[' .. concat(list, NUL) .. ']'
end

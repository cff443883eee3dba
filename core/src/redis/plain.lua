-- Commands on plain values behind checks, or that are noted. KEYS: their keys, and behind them where the answer is kept. ARGV:
-- where the witness begins, where the commands begin, by which name the answer is kept ('': it is not), how long in ms, then
-- the checks (<op> <key> <operand> <operand>), the witness and the commands (<count> <place of the key> <words...>).
-- A key operand is an index in KEYS. Nothing in ARGV is ever run or matched as a pattern but the engine's own words.
local call, pcall, insert = redis.call, redis.pcall, table.insert
local witness, commands = tonumber(ARGV[1]), tonumber(ARGV[2])
local note, noted = ARGV[3], KEYS[#KEYS]
if note ~= '' then
  local known = call('HGET', noted, note)
  if known then
    return cmsgpack.unpack(known)
  end
end

-- Keeps the answer with those of the same time.
local function keep(answer)
  if note ~= '' then
    call('HSET', noted, note, cmsgpack.pack(answer))
    if call('HLEN', noted) == 1 then
      call('PEXPIRE', noted, ARGV[4])
    end
  end
  return answer
end

-- Whether one place lies behind another one. Their numbers have 64 bits, so they are compared as text.
local function behind(one, other)
  local ms, number = string.match(one, '^(%d+)%-(%d+)$')
  local others, its = string.match(other, '^(%d+)%-(%d+)$')
  if not ms or not others then
    return true
  elseif ms ~= others then
    return #ms > #others or #ms == #others and ms > others
  end
  return #number > #its or #number == #its and number > its
end

-- A value by its name in a list of names and values.
local function named(list, name)
  for at = 1, #list, 2 do
    if list[at] == name then
      return list[at + 1]
    end
  end
end

-- Acknowledges, and notes up to where everything is acknowledged: what lies before the first that is pending, or all that
-- was delivered.
local function settle(stream, floors, group, ...)
  local done = 0
  if select('#', ...) > 0 then
    done = pcall('XACK', stream, group, ...)
  end
  local pending = pcall('XPENDING', stream, group, '-', '+', 1)
  if type(done) == 'table' or pending.err then
    return done
  end
  local floor = '0-0'
  if pending[1] then
    local before = call('XREVRANGE', stream, '(' .. pending[1][1], '-', 'COUNT', 1)
    floor = before[1] and before[1][1] or floor
  else
    for _, one in ipairs(call('XINFO', 'GROUPS', stream)) do
      if named(one, 'name') == group then
        floor = named(one, 'last-delivered-id')
      end
    end
  end
  pcall('HSET', floors, group, floor)
  return done
end

-- Makes a group anew where it was.
local function mend(stream, floors, group)
  local floor, info = pcall('HGET', floors, group), pcall('XINFO', 'STREAM', stream)
  local last = info.err and '0-0' or named(info, 'last-generated-id')
  if type(floor) ~= 'string' or behind(floor, last) then
    floor = '0-0'
  end
  return pcall('XGROUP', 'CREATE', stream, group, floor, 'MKSTREAM')
end

local own = { settle = settle, mend = mend }

local function answers(from, to, replies)
  while from < to do
    local count, place = tonumber(ARGV[from]), tonumber(ARGV[from + 1])
    local words = { unpack(ARGV, from + 2, from + 1 + count) }
    words[place] = KEYS[tonumber(words[place])]
    local reply
    if own[words[1]] then
      words[place + 1] = KEYS[tonumber(words[place + 1])]
      reply = own[words[1]](unpack(words, 2))
    else
      reply = pcall(unpack(words))
    end
    -- Numbers are doubles here: what is to be exact is read as text.
    if type(reply) == 'number' and words[1] == 'INCRBY' then
      reply = call('GET', words[2])
    elseif type(reply) == 'number' and words[1] == 'HINCRBY' then
      reply = call('HGET', words[2], words[3])
    end
    insert(replies, reply)
    from = from + 2 + count
  end
  return replies
end

local checked = 0
for at = 5, witness - 1, 4 do
  local op, key, one, two = ARGV[at], KEYS[tonumber(ARGV[at + 1])], ARGV[at + 2], ARGV[at + 3]
  local holds
  if op == 'T' or op == 'N' then
    if op == 'N' then
      holds = call('EXISTS', key) == 0
    else
      local text = pcall('GET', key)
      holds = text == one
    end
  elseif op == 'I' then
    local pending = pcall('XPENDING', key, one, '-', '+', 1, two)
    holds = pending.err or #pending == 0
  else
    local text = call('HGET', key, one)
    if op == 'A' then
      holds = not text
    elseif op == 'P' then
      holds = text
    else
      holds = text and string.sub(text, 1, #two) == two
    end
  end
  if not holds then
    return answers(witness, commands, { 0, checked })
  end
  checked = checked + 1
end
return keep(answers(commands, #ARGV + 1, { 1 }))

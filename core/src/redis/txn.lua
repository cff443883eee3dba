-- One transaction. KEYS: its keys. ARGV: where the witness begins, where the effects begin, where the
-- queries begin, its mark, how it is repeated, then the program: checks, witness, effects, queries. A key
-- operand is an index in KEYS. Nothing in ARGV is ever run or matched as a pattern: field names, texts and
-- numbers only.
local witness, effects, queries = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local mark, repeated = ARGV[4] ~= '' and '\1' .. ARGV[4], ARGV[5]
local at = 6

-- '=<ms>': its answer is kept by its mark under the last key, for so long; what was answered before is answered again.
local noted = string.sub(repeated, 1, 1) == '=' and KEYS[#KEYS]
if noted then
  local known = call('HGET', noted, ARGV[4])
  if known then
    return cmsgpack.unpack(known)
  end
end

-- A repeat: the position of the first entry that it appended when it was applied before. '!<key>': its log begins
-- with it; '?<key>': one of the last entries carries its mark.
local again
if repeated ~= '' and not noted then
  local key = KEYS[tonumber(string.sub(repeated, 2))]
  local last = tonumber(call('HGET', key, '#') or 0)
  if string.sub(repeated, 1, 1) == '!' then
    again = last > 0 and 1
  else
    for position = last, math.max(1, last - 999), -1 do
      local text = call('HGET', key, 'e' .. position)
      if text and string.sub(text, 1, 9) == mark then
        again = position
      elseif again then
        break
      end
    end
  end
end

-- C <count> <command> <key> <operands...>: a plain command; answers its reply and the next place.
local function command(i)
  local n = tonumber(ARGV[i + 1])
  return call(ARGV[i + 2], KEYS[tonumber(ARGV[i + 3])], unpack(ARGV, i + 4, i + 3 + n)), i + 4 + n
end

local function answers(from, to, replies)
  while from < to do
    local reply
    if ARGV[from] == 'T' then
      -- T <key>: the server's time.
      reply, from = call('TIME'), from + 2
    else
      reply, from = command(from)
    end
    insert(replies, reply)
  end
  return replies
end

local checked = 0
while at < witness and not again do
  local op, key, name = ARGV[at], KEYS[tonumber(ARGV[at + 1])], ARGV[at + 2]
  local holds
  if op == 'H' then
    -- H <key> <text>: the key itself holds it.
    holds = call('GET', key) == name
    at = at + 3
  elseif op == 'D' then
    -- D <key> <member> <by>: the member is there, with this score or less.
    local score = call('ZSCORE', key, name)
    holds = score and tonumber(score) <= tonumber(ARGV[at + 3])
    at = at + 4
  elseif op == 'W' then
    -- W <key> <position>: the log's newest entry stands there.
    holds = tonumber(call('HGET', key, '#') or 0) == tonumber(name)
    at = at + 3
  elseif op == 'N' then
    -- N <key> <score>: no member has a lower one.
    holds = call('ZCOUNT', key, '-inf', '(' .. name) == 0
    at = at + 3
  else
    local text = call('HGET', key, name)
    if op == 'A' then
      holds = not text
      at = at + 3
    elseif op == 'P' then
      holds = text
      at = at + 3
    else
      local with = ARGV[at + 3]
      holds = text and string.sub(text, 1, #with) == with
      at = at + 4
    end
  end
  if not holds then
    return answers(witness, effects, { 0, checked })
  end
  checked = checked + 1
end

-- Deadlines that were set or moved, by key. They are told to the server last: one that has passed by then
-- removes its key, and nothing may be written to it afterwards.
local moved = {}

local function extend(key, to)
  call('HSET', key, 'x', to)
  moved[key] = to
  return to
end

-- Forward only; '' is never.
local function slide(key, now, to)
  if now ~= '' and (to == '' or tonumber(to) > tonumber(now)) then
    return extend(key, to)
  end
  return now
end

local replies = { 1 }
-- The entry that was appended last.
local position, text
at = effects
while at < queries do
  local op = ARGV[at]
  if op == 'C' then
    if again then
      at = at + 4 + tonumber(ARGV[at + 1])
    else
      local _
      _, at = command(at)
    end
  elseif op == 'R' then
    -- R, and the rest as behind C: a plain command whose reply is wanted.
    if again then
      insert(replies, false)
      at = at + 4 + tonumber(ARGV[at + 1])
    else
      local reply
      reply, at = command(at)
      insert(replies, reply)
    end
  elseif op == 'L' then
    -- L <count> <command> ...: see `line.lua`. Texts that are put together have a reply each.
    local count, many = tonumber(ARGV[at + 1]), ARGV[at + 2] == 'puts'
    if not again then
      line = line or lines()
    end
    local reply = not again and line(at)
    for place = 1, many and count or 1 do
      insert(replies, many and reply and reply[place] or not many and reply)
    end
    at = at + 9 + count
  elseif op == 'O' then
    -- O <key> <deadline or ''>: begins a record.
    if not again then
      extend(KEYS[tonumber(ARGV[at + 1])], ARGV[at + 2])
    end
    at = at + 3
  elseif op == 'S' then
    -- S <key> <deadline or ''>: moves the deadline of a record that is there.
    local key, to = KEYS[tonumber(ARGV[at + 1])], ARGV[at + 2]
    local now = call('HGET', key, 'x')
    insert(replies, now and (again and now or slide(key, now, to)) or to)
    at = at + 3
  elseif op == 'H' then
    -- H <key> <deadline or ''>: the same, or begins it.
    local key, to = KEYS[tonumber(ARGV[at + 1])], ARGV[at + 2]
    local now = not again and call('HGET', key, 'x')
    if now then
      slide(key, now, to)
    elseif not again then
      extend(key, to)
    end
    at = at + 3
  elseif op == 'K' then
    -- K <key> <position>: drops the log's entries below it.
    local key = KEYS[tonumber(ARGV[at + 1])]
    local last = tonumber(call('HGET', key, '#') or 0)
    local first = tonumber(call('HGET', key, '<') or 1)
    local below = math.min(tonumber(ARGV[at + 2]), last + 1)
    if below > first and not again then
      for gone = first, below - 1 do
        call('HDEL', key, 'e' .. gone)
      end
      call('HSET', key, '<', below)
    end
    at = at + 3
  elseif op == 'G' then
    -- G <feed> <keep> <until> <origin>: gathers the entry that was appended last.
    if not again then
      local feed = KEYS[tonumber(ARGV[at + 1])]
      call('XADD', feed, 'MAXLEN', '~', ARGV[at + 2], '*', 'o', ARGV[at + 4], 'n', position, 'e', text)
      call('PEXPIREAT', feed, ARGV[at + 3])
    end
    at = at + 5
  elseif op == 'M' then
    -- M <key> <to> <field> <count> <fields...>: fields of one record become one field of another.
    local key, to, n = KEYS[tonumber(ARGV[at + 1])], KEYS[tonumber(ARGV[at + 2])], tonumber(ARGV[at + 4])
    if not again then
      local bundle = {}
      for i = at + 5, at + 4 + n do
        local text = call('HGET', key, ARGV[i])
        if text then
          insert(bundle, ARGV[i] .. ' ' .. #text .. ':' .. text)
          call('HDEL', key, ARGV[i])
        end
      end
      call('HSET', to, ARGV[at + 3], table.concat(bundle))
    end
    at = at + 5 + n
  else
    -- E <key> <text> <keep> <feed> <feed keep> <feed until> <origin>: the log, then the feed.
    local key, keep = KEYS[tonumber(ARGV[at + 1])], tonumber(ARGV[at + 3])
    text = ARGV[at + 2]
    if again then
      insert(replies, again)
      again = again + 1
    else
      local feed = KEYS[tonumber(ARGV[at + 4])]
      position = call('HINCRBY', key, '#', 1)
      call('HSET', key, 'e' .. position, mark and mark .. text or text)
      if position > keep then
        -- A log that kept less before has no more now: its beginning only moves forward.
        local first = tonumber(call('HGET', key, '<') or 1)
        for gone = first, position - keep do
          call('HDEL', key, 'e' .. gone)
        end
        call('HSET', key, '<', math.max(first, position - keep + 1))
      end
      call('XADD', feed, 'MAXLEN', '~', ARGV[at + 5], '*', 'o', ARGV[at + 7], 'n', position, 'e', text)
      call('PEXPIREAT', feed, ARGV[at + 6])
      insert(replies, position)
    end
    at = at + 8
  end
end
for key, to in pairs(moved) do
  if to == '' then
    call('PERSIST', key)
  else
    call('PEXPIREAT', key, to)
  end
end
answers(queries, #ARGV + 1, replies)
if noted then
  call('HSET', noted, ARGV[4], cmsgpack.pack(replies))
  if call('HLEN', noted) == 1 then
    call('PEXPIRE', noted, string.sub(repeated, 2))
  end
end
return replies

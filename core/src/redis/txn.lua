-- One transaction. KEYS: its keys. ARGV: where the witness begins, where the effects begin, where the
-- queries begin, then the program: checks, witness, effects, queries. A key operand is an index in KEYS.
-- Nothing in ARGV is ever run or matched as a pattern: field names, texts and numbers only.
local call, insert = redis.call, table.insert
local witness, effects, queries = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local at = 4

-- C <count> <command> <key> <operands...>: a plain command; answers its reply and the next place.
local function command(i)
  local n = tonumber(ARGV[i + 1])
  return call(ARGV[i + 2], KEYS[tonumber(ARGV[i + 3])], unpack(ARGV, i + 4, i + 3 + n)), i + 4 + n
end

local function answers(from, to, replies)
  while from < to do
    local reply
    reply, from = command(from)
    insert(replies, reply)
  end
  return replies
end

local checked = 0
while at < witness do
  local op, text = ARGV[at], call('HGET', KEYS[tonumber(ARGV[at + 1])], ARGV[at + 2])
  local holds
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
  if not holds then
    return answers(witness, effects, { 0, checked })
  end
  checked = checked + 1
end

local replies = { 1 }
at = effects
while at < queries do
  local op = ARGV[at]
  if op == 'C' then
    local _
    _, at = command(at)
  elseif op == 'S' then
    -- S <key> <deadline or ''>: forward only; '' is never.
    local key, to = KEYS[tonumber(ARGV[at + 1])], ARGV[at + 2]
    local now = call('HGET', key, 'x')
    if not now or now == '' then
      insert(replies, now or to)
    elseif to == '' then
      call('HSET', key, 'x', '')
      call('PERSIST', key)
      insert(replies, to)
    elseif tonumber(to) > tonumber(now) then
      call('HSET', key, 'x', to)
      call('PEXPIREAT', key, to)
      insert(replies, to)
    else
      insert(replies, now)
    end
    at = at + 3
  else
    -- E <key> <text> <keep> <feed> <feed keep> <feed until> <origin>: the log, then the feed.
    local key, text, keep = KEYS[tonumber(ARGV[at + 1])], ARGV[at + 2], tonumber(ARGV[at + 3])
    local feed = KEYS[tonumber(ARGV[at + 4])]
    local position = call('HINCRBY', key, '#', 1)
    call('HSET', key, 'e' .. position, text)
    if position > keep then
      for gone = tonumber(call('HGET', key, '<') or 1), position - keep do
        call('HDEL', key, 'e' .. gone)
      end
      call('HSET', key, '<', position - keep + 1)
    end
    call('XADD', feed, 'MAXLEN', '~', ARGV[at + 5], '*', 'o', ARGV[at + 7], 'n', position, 'e', text)
    call('PEXPIREAT', feed, ARGV[at + 6])
    insert(replies, position)
    at = at + 8
  end
end
return answers(queries, #ARGV + 1, replies)

-- A write of one record, as most writes are: it is checked, its fields are set, its log and a feed are appended to, its deadline
-- is moved. What the general script in `txn.lua` does one after the other is one look and one write here.
-- KEYS: the record, the feed, keys of further commands. ARGV: how many checks, entries, texts to be set and fields to be seen there
-- are, whether the deadline is moved, and the kind of each check, a byte each; how many entries the log keeps; how many the feed;
-- until when it stays; the record's name there; then the fields to be checked, what they are checked for, the entries, the fields
-- and texts to be set with the deadline behind them, the fields to be seen where a check does not hold, and further
-- commands. Nothing in ARGV is ever run or matched as a pattern.
local call, sub = redis.call, string.sub
local key, feed = KEYS[1], KEYS[2]
local checks, entries, texts, fields, moves = string.byte(ARGV[1], 1, 5)

-- The place in ARGV of the last of each.
local checked = 5 + checks
local expected = checked + checks
local entered = expected + entries
local set = entered + texts

local seen = call('HMGET', key, '#', 'x', unpack(ARGV, 6, checked))
for check = 1, checks do
  local kind, text, with = string.byte(ARGV[1], 5 + check), seen[2 + check], ARGV[checked + check]
  -- A: absent. P: present. B: it begins so.
  local holds
  if kind == 65 then
    holds = not text
  elseif kind == 80 then
    holds = text
  else
    holds = text and sub(text, 1, #with) == with
  end
  if not holds then
    local first = set + 2 * moves + 1
    return { 0, check - 1, call('HMGET', key, 'x', unpack(ARGV, first, first + fields - 1)) }
  end
end

-- Forward only; '' is never. One that is not there has no deadline to move.
local now, to, moved = seen[2], ARGV[set + 2], false
if moves == 1 then
  moved = now and now ~= '' and (to == '' or tonumber(to) > tonumber(now))
  if moved then
    set = set + 2
  end
end

local position = tonumber(seen[1] or 0)
local last = position + entries
if entries == 1 then
  call('HSET', key, '#', last, 'e' .. last, ARGV[entered], unpack(ARGV, entered + 1, set))
elseif entries == 2 then
  local first, second = ARGV[entered - 1], ARGV[entered]
  call('HSET', key, '#', last, 'e' .. last - 1, first, 'e' .. last, second, unpack(ARGV, entered + 1, set))
else
  if entries > 0 then
    call('HSET', key, '#', last)
  end
  for entry = 1, entries do
    call('HSET', key, 'e' .. position + entry, ARGV[expected + entry])
  end
  if set > entered then
    call('HSET', key, unpack(ARGV, entered + 1, set))
  end
end

local replies = { 1 }
for entry = 1, entries do
  local at = position + entry
  call('XADD', feed, 'MAXLEN', '~', ARGV[3], '*', 'o', ARGV[5], 'n', at, 'e', ARGV[expected + entry])
  replies[entry + 1] = at
end
if entries > 0 then
  call('PEXPIREAT', feed, ARGV[4])
  local keep = tonumber(ARGV[2])
  if last > keep then
    -- A log that kept less before has no more now: its beginning only moves forward.
    local first = tonumber(call('HGET', key, '<') or 1)
    for gone = first, last - keep do
      call('HDEL', key, 'e' .. gone)
    end
    call('HSET', key, '<', math.max(first, last - keep + 1))
  end
end

-- <command> <key> <count> <operands...>
local at = entered + texts + 2 * moves + fields + 1
while at < #ARGV do
  local operands = at + 2 + tonumber(ARGV[at + 2])
  call(ARGV[at], KEYS[tonumber(ARGV[at + 1])], unpack(ARGV, at + 3, operands))
  at = operands + 1
end

-- Last: a deadline that has passed by now removes the record.
if moves == 1 then
  replies[entries + 2] = moved and to or now or to
  if moved and to == '' then
    call('PERSIST', key)
  elseif moved then
    call('PEXPIREAT', key, to)
  end
end
return replies

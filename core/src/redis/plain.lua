-- Commands on plain values behind checks. KEYS: their keys. ARGV: where the witness begins, where the commands begin,
-- then the checks (<op> <key> <operand> <operand>), the witness and the commands (<count> <place of the key> <words...>).
-- A key operand is an index in KEYS. Nothing in ARGV is ever run or matched as a pattern but the engine's own words.
local call, pcall, insert = redis.call, redis.pcall, table.insert
local witness, commands = tonumber(ARGV[1]), tonumber(ARGV[2])

local function answers(from, to, replies)
  while from < to do
    local count, place = tonumber(ARGV[from]), tonumber(ARGV[from + 1])
    local words = { unpack(ARGV, from + 2, from + 1 + count) }
    words[place] = KEYS[tonumber(words[place])]
    local reply = pcall(unpack(words))
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
for at = 3, witness - 1, 4 do
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
return answers(commands, #ARGV + 1, { 1 })

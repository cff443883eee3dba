-- Lines: see `command.rs`. The texts that wait are a plain list, put at its left end and taken from its right. A text that
-- is lent stands in a hash as '<times> <text>', its end in a sorted set. How often a text that came back was lent is
-- counted by the text itself, '<digest>:<times>', because nothing but the text may stand in the list.
local call, insert = redis.call, table.insert

-- What is done with lines. Made when the first is met: most transactions have none.
local function lines()
  -- Of the line that something is done with now.
  local list, lent, ends, times, dead, closed

  local function now()
    local time = call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
  end

  local function over(lease)
    local entry = call('HGET', lent, lease)
    if not entry then
      return
    end
    call('HDEL', lent, lease)
    call('ZREM', ends, lease)
    local blank = string.find(entry, ' ', 1, true)
    return string.sub(entry, blank + 1), tonumber(string.sub(entry, 1, blank - 1))
  end

  local function back(text, count, limit)
    if count >= limit then
      call('RPUSH', dead, text)
      return
    end
    if count > 0 then
      call('HINCRBY', times, redis.sha1hex(text) .. ':' .. count, 1)
    end
    call('RPUSH', list, text)
  end

  local function before(text, limit)
    local digest = redis.sha1hex(text)
    for count = limit - 1, 1, -1 do
      local field = digest .. ':' .. count
      if call('HEXISTS', times, field) == 1 then
        if call('HINCRBY', times, field, -1) < 1 then
          call('HDEL', times, field)
        end
        return count
      end
    end
    return 0
  end

  -- Lends a text to each of these leases; for each the text and how often it was lent, or nothing and why.
  local function take(leases, ms, limit)
    local answers, fresh, places = {}, {}, {}
    local known = call('HMGET', lent, unpack(leases))
    for place = 1, #leases do
      local lease, entry = leases[place], known[place]
      if entry then
        local blank = string.find(entry, ' ', 1, true)
        answers[2 * place - 1] = string.sub(entry, blank + 1)
        answers[2 * place] = tonumber(string.sub(entry, 1, blank - 1))
      elseif not places[lease] then
        fresh[#fresh + 1] = lease
        places[lease] = place
      end
    end
    if #fresh > 0 then
      local at = now()
      local due = call('ZRANGEBYSCORE', ends, '-inf', at, 'LIMIT', 0, 16)
      for place = #due, 1, -1 do
        local text, count = over(due[place])
        if text then
          back(text, count, limit)
        end
      end
      local texts = call('RPOP', list, #fresh) or {}
      local found = #texts
      local counted = found > 0 and limit > 1 and call('EXISTS', times) == 1
      local entries, scores = {}, {}
      for number = 1, found do
        local lease, text = fresh[number], texts[number]
        local count, place = (counted and before(text, limit) or 0) + 1, places[lease]
        entries[2 * number - 1], entries[2 * number] = lease, count .. ' ' .. text
        scores[2 * number - 1], scores[2 * number] = at + ms, lease
        answers[2 * place - 1], answers[2 * place] = text, count
      end
      if found > 0 then
        call('HSET', lent, unpack(entries))
        call('ZADD', ends, unpack(scores))
      end
      if found < #fresh then
        call('DEL', times)
        local first = call('ZRANGE', ends, 0, 0, 'WITHSCORES')
        local left = first[2] and math.max(0, tonumber(first[2]) - at)
        left = left or (call('EXISTS', closed) == 1 and -2 or -1)
        for number = found + 1, #fresh do
          local place = places[fresh[number]]
          answers[2 * place - 1], answers[2 * place] = false, left
        end
      end
    end
    -- A name that stands there twice has one text.
    for place = 1, #leases do
      if answers[2 * place] == nil then
        local same = places[leases[place]]
        answers[2 * place - 1], answers[2 * place] = answers[2 * same - 1], answers[2 * same]
      end
    end
    return answers
  end

  -- L <count> <command> <list> <lent> <ends> <times> <dead> <closed> <operands...>
  local function line(i)
    local n, name, k = tonumber(ARGV[i + 1]), ARGV[i + 2], {}
    for place = 1, 6 do
      k[place] = KEYS[tonumber(ARGV[i + 2 + place])]
    end
    list, lent, ends, times, dead, closed = unpack(k)
    local a, b, c = ARGV[i + 9], ARGV[i + 10], ARGV[i + 11]
    local reply = 0
    if name == 'put' then
      -- <text> <most or ''>
      if call('EXISTS', closed) == 1 then
        reply = -1
      elseif b == '' or call('LLEN', list) < tonumber(b) then
        reply = call('LPUSH', list, a)
      end
    elseif name == 'puts' then
      -- <text...>: a reply for each.
      reply = {}
      local before = call('EXISTS', closed) == 0 and call('LPUSH', list, unpack(ARGV, i + 9, i + 8 + n)) - n
      for place = 1, n do
        reply[place] = before and before + place or -1
      end
    elseif name == 'take' then
      -- <ms> <limit> <lease...>
      reply = take({ unpack(ARGV, i + 11, i + 8 + n) }, tonumber(a), tonumber(b))
    elseif name == 'settle' then
      -- <lease...>
      reply = {}
      for place = 1, n do
        reply[place] = call('HDEL', lent, ARGV[i + 8 + place])
      end
      call('ZREM', ends, unpack(ARGV, i + 9, i + 8 + n))
    elseif name == 'back' then
      -- <lease> <limit> <1: it counts>
      local text, count = over(a)
      if text then
        back(text, c == '1' and count or count - 1, tonumber(b))
        reply = 1
      end
    elseif name == 'bury' then
      -- <lease>
      local text = over(a)
      if text then
        call('RPUSH', dead, text)
        reply = 1
      end
    elseif name == 'extend' then
      -- <lease> <ms>
      if call('HEXISTS', lent, a) == 1 then
        call('ZADD', ends, now() + b, a)
        reply = 1
      end
    elseif name == 'count' then
      reply = { call('LLEN', list), call('HLEN', lent), call('LLEN', dead) }
    elseif name == 'close' then
      -- <1 or 0>
      if a == '1' then
        reply = call('SET', closed, '1', 'NX') and 1 or 0
      else
        reply = call('DEL', closed)
      end
    elseif name == 'dead' then
      -- <first> <last>
      reply = call('LRANGE', dead, a, b)
    elseif name == 'revive' then
      -- <count>
      while reply < tonumber(a) do
        local text = call('LPOP', dead)
        if not text then
          break
        end
        call('LPUSH', list, text)
        reply = reply + 1
      end
    end
    return reply
  end

  return line
end
local line


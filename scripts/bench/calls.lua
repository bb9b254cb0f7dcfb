-- SPDX-License-Identifier: MIT
-- Benchmark target, as calls.py: calls a Lua function over and over. KIND lua, or profile: with an empty hook. Time is
-- CPU time throughout: this language has no finer clock.
local function bench(n)
  return n
end

local function empty() end

for line in io.lines() do
  local kind, ms = line:match("(%S+) (%d+)")
  if kind == "profile" then debug.sethook(empty, "cr") end
  local calls, start, stop = 0, os.clock(), os.clock() + ms / 1000
  while os.clock() < stop do
    for i = 1, 200 do
      bench(i)
    end
    calls = calls + 200
  end
  local cpu = os.clock() - start
  debug.sethook()
  print(string.format("%s %.3f %d", kind, cpu * 1e9 / math.max(calls, 1), calls))
  io.stdout:flush()
end

-- SPDX-License-Identifier: MIT
-- Endless work for tests/repeat: loops that the JIT compiles, strings, tables, collections.
local n, sum = 0, 0
while true do
  for i = 1, 200000 do sum = (sum * 31 + i) % 2147483647 end
  local t = {}
  for i = 1, 3000 do t[i] = string.format("%d:%x", i * n, (sum + i) % 65536) end
  table.sort(t)
  local s = table.concat(t, ","):gsub("(%d+):(%x+)", "%2=%1")
  sum = (sum + #s) % 2147483647
  n = n + 1
  if n % 50 == 0 then collectgarbage() end
  if n % 20 == 3 then print("ready", n, sum) io.stdout:flush() end
end

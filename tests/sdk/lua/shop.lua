-- SPDX-License-Identifier: MIT
-- What it does is known: recursion, a tail call, an error that is caught, a coroutine. package.cpath has ctbpf.so.
local ct = require "ctbpf"
local function fib(n)
	if n < 2 then return n end
	return fib(n - 1) + fib(n - 2)
end
local function tail(n)
	return fib(n)
end
local function fails(text)
	error(text)
end
local function gives(n)
	for i = 1, n do
		coroutine.yield(i)
	end
end
local function round(n)
	local t = tail(n % 5)
	pcall(fails, "round " .. n)
	local co = coroutine.create(gives)
	ct.hook(co)
	for _ = 1, 2 do
		coroutine.resume(co, 2)
	end
	return t
end
ct.hook()
print("ready")
io.stdout:flush()
local n = 0
while true do
	round(n)
	n = n + 1
	for _ = 1, 3000 do end
end

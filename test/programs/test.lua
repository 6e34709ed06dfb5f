-- Errors caught across C frames (setjmp as exceptions), coroutines, strings, tables, garbage collection: the same text as the native build.
local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
print("fib", fib(20))

local ok, message = pcall(function() local t = nil; return t.x end)
print("pcall", ok, (message:gsub("^.-:%d+: ", "")))
print("nested", (function(a, b, c) return a, b, c.code end)(pcall(pcall, error, { code = 7 })))
print("rethrow", select(2, pcall(function()
  local _, inner = pcall(error, "inner", 0)
  error("outer after " .. inner, 0)
end)))
print("overflow", (pcall(function() local function f() return 1 + f() end return f() end)))

local producer = coroutine.wrap(function() for i = 1, 5 do coroutine.yield(i * i) end end)
local squares = {}
for _ = 1, 5 do squares[#squares + 1] = producer() end
print("coroutine", table.concat(squares, " "))

local words = {}
for w in ("the quick brown fox jumps over the lazy dog"):gmatch("%a+") do words[w] = (words[w] or 0) + 1 end
local names = {}
for w in pairs(words) do names[#names + 1] = w end
table.sort(names)
for _, w in ipairs(names) do io.write(w, "=", words[w], " ") end
io.write("\n")

local junk = {}
for i = 1, 200000 do junk[i % 100] = { i, tostring(i) } end
collectgarbage()
print("format", string.format("%5.2f|%-6s|%x|%q", math.pi, "ab", 255, "a\nb"))
print("integers", 7 // 2, -7 // 2, 7 % -3, 1 << 62, math.maxinteger + 1 == math.mininteger, 2^53)
print("arg", arg[1], arg[2])
local file = assert(io.open(arg[1], "w"))
file:write(string.rep("line\n", 1000))
file:close()
local n = 0
for _ in io.lines(arg[1]) do n = n + 1 end
print("lines", n)
os.exit(3)

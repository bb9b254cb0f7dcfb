# SPDX-License-Identifier: MIT
# Lines: statements over several lines, several on one, conditions, safe navigation, strings with code, BEGIN, heredocs.
def long(a,
         b,
         c)
  a +
    b +
    c
end

def guard(x)
  return :none unless x
  return :small if x < 10; return :large if x > 100
  :middle
end

def unless_else(x)
  unless x
    "no"
  else
    "yes"
  end
end

def endless(x) = x * 2

def empty; end

def ensure_value
  yield
ensure
  1 + 1
end

BEGIN { puts "before everything" }
value = long(1,
             2,
             3)
a = 1; b = 2; c = a + b
list = [
  guard(nil),
  guard(5), guard(50),
  guard(500)
]
hash = {
  one: endless(1),
  two: endless(
    2
  )
}
text = "#{a} and #{
  b + c
}"
chain = [3, 1, 2]
  .sort
  .map { |x| x + 1 }
  .reverse
nothing = nil
safe = nothing&.length
fallback = nothing || "default"
ternary = a > 0 ? "pos" : "neg"
if a == 2
  branch = 1
elsif b == 2 && c == 3
  branch = 2
else
  branch = 3
end
branch += 1 if branch == 2 unless a == 2
both = (a == 1 and b == 2)
none = (not both)
yes = unless_else(1)
no = unless_else(nil)
e = empty
kept = ensure_value { "kept" }
heredoc = [<<~A, <<~B].join
  first #{a}
A
  second #{b}
B
x = begin
  10
end
loop do
  x -= 3
  break if x < 0
end
result = while true
  break "out"
end
puts value, list.inspect, hash, text, chain.inspect, safe.inspect, fallback, ternary, branch, both, none, yes, no, e.inspect, kept, heredoc, x, result

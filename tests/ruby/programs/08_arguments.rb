# SPDX-License-Identifier: MIT
# All kinds of parameters: optional, rest, post, keywords, double splat, blocks, forwarding, defaults that call.
def default
  42
end

def optional(a, b = default, c = b + 1)
  [a, b, c]
end

def rest(first, *middle, last)
  "#{first} #{middle} #{last}"
end

def keywords(a:, b: a * 2, **others)
  others.merge(a: a, b: b)
end

def everything(a, b = 2, *c, d, e:, f: 6, **g, &h)
  sum = a + b + c.sum + d + e + f + g.values.sum
  h ? h.call(sum) : sum
end

def forward(...)
  everything(...)
end

def anonymous_block(&)
  each_twice(&)
end

def each_twice
  yield 1
  yield 1
end

def multiple
  return 1, 2, 3
end

one = optional(1)
two = optional(1, 2)
three = optional(1, 2, 3)
spread = rest(*%w[a b c d])
short = rest(1, 2)
named = keywords(a: 1)
given = keywords(b: 1, a: 2, z: 3)
all = everything(1, 4, e: 5)
lots = everything(1, 2, 3, 4, 5, e: 6, f: 7, g: 8) { |s| s * 2 }
passed = forward(1, 2, e: 3) { |s| -s }
options = { e: 1, f: 1 }
splat = everything(*[1, 1], **options)
hits = 0
anonymous_block { |n| hits += n }
a, (b, *c), d = 1, [2, 3, 4], multiple
begin
  optional
rescue ArgumentError => e
  wrong = e.message
end
puts one.inspect, two.inspect, three.inspect, spread, short, named, given, all, lots, passed, splat, hits
puts a, b, c.inspect, d.inspect, wrong

# SPDX-License-Identifier: MIT
# Blocks, procs and lambdas: yield, break, next, redo by hand, non-local return, closures.
def twice
  yield 1
  yield 2
end

def find(list)
  list.each do |x|
    return x if x > 2
  end
  nil
end

def counter
  n = 0
  increment = -> { n += 1 }
  get = proc { n }
  [increment, get]
end

def takes(&block)
  block
end

total = 0
twice { |x| total += x }
found = find([1, 2, 3, 4])
missing = find([1])
up, read = counter
3.times { up.call }
now = read.call
stopped = [1, 2, 3].each { |x| break x * 10 if x == 2 }
evens = [1, 2, 3, 4].map do |x|
  next 0 if x.odd?
  x
end
square = takes { |x| x * x }
nine = square.(3)
add = lambda do |a, b = 2, *rest|
  return a + b if rest.empty?
  a + b + rest.sum
end
sums = [add[1], add[1, 1], add[1, 1, 1, 1]]
curried = add.curry
nested = [[1, 2], [3]].map { |row| row.map { |x| x + total } }
[[1, [2, 3]]].each { |a, (b, c)| total += a + b + c }
puts total, found, missing.inspect, now, stopped, evens.inspect, nine, sums.inspect, nested.inspect, curried.arity

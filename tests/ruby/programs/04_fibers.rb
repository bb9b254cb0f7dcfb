# SPDX-License-Identifier: MIT
# Fibers and enumerators that are stepped from outside.
fib = Fiber.new do
  a, b = 0, 1
  loop do
    Fiber.yield a
    a, b = b, a + b
  end
end
numbers = 8.times.map { fib.resume }

def generate(n)
  return to_enum(:generate, n) unless block_given?
  n.times { |i| yield i * i }
end

squares = generate(4)
first = squares.next
second = squares.next
peeked = squares.peek
rest = []
loop { rest << squares.next }
echo = Fiber.new do |x|
  while x
    x = Fiber.yield("got #{x}")
  end
  :ended
end
answers = [echo.resume(1), echo.resume(2), echo.resume(nil)]
inner = Fiber.new do
  deep = Fiber.new { Fiber.yield :deepest; :deep }
  Fiber.yield deep.resume
  Fiber.yield deep.resume
  raise ArgumentError, "out of the fiber"
end
seen = [inner.resume, inner.resume]
begin
  inner.resume
rescue ArgumentError => e
  seen << e.message
end
lazy = (1..Float::INFINITY).lazy.map { |x| x * 2 }.select { |x| (x % 3).zero? }.first(3)
chars = Enumerator.new do |y|
  y << "a"
  y << "b"
end
pairs = chars.with_index.to_a
puts numbers.inspect, first, second, peeked, rest.inspect, answers.inspect, seen.inspect, lazy.inspect, pairs.inspect

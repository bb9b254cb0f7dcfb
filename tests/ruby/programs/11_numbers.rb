# SPDX-License-Identifier: MIT
# Integers of all sizes, floats, recursion, memoisation, bits, rational arithmetic, conversions.
def factorial(n)
  n < 2 ? 1 : n * factorial(n - 1)
end

def fib(n, memo = {})
  return n if n < 2
  memo[n] ||= fib(n - 1, memo) + fib(n - 2, memo)
end

def gcd(a, b)
  a, b = b, a % b while b.nonzero?
  a
end

def hanoi(n, from, to, via, moves)
  return moves if n.zero?
  hanoi(n - 1, from, via, to, moves)
  moves << [from, to]
  hanoi(n - 1, via, to, from, moves)
end

def ackermann(m, n)
  if m.zero?
    n + 1
  elsif n.zero?
    ackermann(m - 1, 1)
  else
    ackermann(m - 1, ackermann(m, n - 1))
  end
end

small = factorial(10)
big = factorial(30)
negative = -factorial(25)
edge = 2**62
over = 2**62 - 1
word = 2**64
f = fib(40)
g = gcd(84, 36)
moves = hanoi(3, :a, :c, :b, [])
ack = ackermann(2, 2)
tenth = 0.1
third = 1 / 3.0
tiny = -0.5
zero = 0.0
half = 1.5e3
ratio = Rational(1, 3) + Rational(1, 6)
bits = 0b1010 ^ 0xff
shift = 1 << 70
rounded = 3.14159.round(2)
divided = -7 / 2
modulo = -7 % 3
power = 3**4
digits = 12345.digits
text = 255.to_s(16)
back = "1010".to_i(2)
complex = Complex(1, 2) * Complex(0, 1)
sum = (1..100).sum
puts small, big, negative, edge, over, word, f, g, moves.inspect, ack, tenth, third, tiny, zero, half, ratio, bits, shift
puts rounded, divided, modulo, power, digits.inspect, text, back, complex, sum

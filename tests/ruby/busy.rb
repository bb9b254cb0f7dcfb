# SPDX-License-Identifier: MIT
# Computes without end, in two threads, and tells when it has begun.
def collatz(n)
  steps = 0
  while n != 1
    n = n.even? ? n / 2 : 3 * n + 1
    steps += 1
  end
  steps
end

def table(size)
  words = {}
  size.times do |i|
    key = "k#{i % 50}"
    words[key] = (words[key] || 0) + collatz(i + 1)
  end
  words
end

$stdout.sync = true
puts "ready"
[1, 2].map { |t| Thread.new { loop { table(100 + t); sleep 0.001 } } }.each(&:join)

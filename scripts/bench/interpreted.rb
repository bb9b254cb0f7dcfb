# SPDX-License-Identifier: MIT
# The like of interpreted.py: calls, loops, objects, strings, exceptions.
#
#   interpreted.rb ROUNDS [tracepoint]

class Account
  def initialize(name)
    @name = name
    @balance = 0
  end

  def deposit(amount)
    raise ArgumentError, amount.to_s if amount < 0
    @balance += amount
    @balance
  end
end

def fib(n)
  return n if n < 2
  fib(n - 1) + fib(n - 2)
end

def count(text)
  seen = Hash.new(0)
  text.split.each do |word|
    seen[word] += 1
  end
  seen
end

def rounds(n)
  accounts = (0...10).map { |i| Account.new("a#{i}") }
  total = 0
  n.times do |i|
    total += fib(8)
    accounts.each do |account|
      begin
        total += account.deposit(i % 7 - 1)
      rescue ArgumentError
        total -= 1
      end
    end
    total += count("the quick brown fox jumps over the lazy dog and the cat").size
  end
  total
end

watch = TracePoint.new(:line, :call, :return) { |tp| tp } if ARGV[1] == "tracepoint"
watch&.enable
start = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)
rounds(ARGV[0].to_i)
cpu = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID) - start
watch&.disable
puts cpu

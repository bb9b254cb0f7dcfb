# SPDX-License-Identifier: MIT
# Endless work for tests/repeat: threads that make garbage, a queue, a process now and then.
q = Queue.new
4.times do |t|
  Thread.new do
    loop do
      n = q.pop
      s = (1..200).map { |i| { i => "value #{i * n}" } }
      s.sort_by { |h| h.values.first.reverse }.map(&:to_s).join.scan(/\d+7/).size
    end
  end
end
n = 0
loop do
  20.times { |i| q << i }
  sleep 0.001 until q.empty?
  GC.start if n % 50 == 0
  IO.popen(["/bin/echo", n.to_s]) { |io| raise "echo" unless io.read.to_i == n } if n % 25 == 0
  n += 1
  puts "ready" or $stdout.flush if n == 3
end

# SPDX-License-Identifier: MIT
# Threads: each with lines of its own, a queue, a mutex, thread-local values, an exception that is joined.
def work(id, queue)
  count = 0
  while (item = queue.pop)
    count += item * id
  end
  count
end

queues = Array.new(3) { Queue.new }
workers = queues.each_with_index.map do |q, i|
  Thread.new(q, i + 1) do |queue, id|
    Thread.current[:id] = id
    work(id, queue)
  end
end
queues.each_with_index { |q, i| (2 * i + 3).times { |k| q << k + 1 } }
queues.each { |q| q << nil }
sums = workers.map(&:value)
lock = Mutex.new
$shared = 0
adders = 4.times.map do
  Thread.new do
    25.times do
      lock.synchronize { $shared += 1; nil }
    end
  end
end
adders.each(&:join)
bad = Thread.new do
  Thread.current.report_on_exception = false
  raise IOError, "in a thread"
end
message = begin
  bad.join
rescue IOError => e
  e.message
end
puts sums.inspect, $shared, message

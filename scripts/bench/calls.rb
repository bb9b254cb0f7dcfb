# SPDX-License-Identifier: MIT
# Benchmark target, as calls.py: calls a Ruby method over and over. KIND ruby, or profile: with an empty TracePoint.
def bench(n)
  n
end

def loop_for(ms)
  calls = 0
  cpu = Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID, :nanosecond)
  stop = Process.clock_gettime(Process::CLOCK_MONOTONIC, :millisecond) + ms
  while Process.clock_gettime(Process::CLOCK_MONOTONIC, :millisecond) < stop
    i = 0
    while i < 200
      bench(i)
      i += 1
    end
    calls += 200
  end
  cpu = Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID, :nanosecond) - cpu
  [cpu.to_f / [calls, 1].max, calls]
end

hook = TracePoint.new(:call, :return) {}
while (line = $stdin.gets)
  kind, ms, = line.split
  hook.enable if kind == "profile"
  ns, calls = loop_for(ms.to_i)
  hook.disable
  printf("%s %.3f %d\n", kind, ns, calls)
  $stdout.flush
end

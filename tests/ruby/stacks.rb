# SPDX-License-Identifier: MIT
# Waits at the end of a stack with blocks, a C function that calls back and instance variables.
class Job
  def initialize(n)
    @n = n
    @tags = ["a", 2.5, { k: [1, nil] }]
  end

  def <=>(other)
    wait(self)
    0
  end

  def run
    [1].each { |i| [self, Job.new(i)].sort }
  end

  def self.make
    job = new(3)
    job.run
  end
end

def wait(job, what = :tea)
  big = -2**70
  text = "häh"
  puts "waiting"
  $stdout.flush
  sleep 1000
  [big, text]
end

def deep(n)
  n > 0 ? deep(n - 1) : Job.make
end

Thread.new { deep(1) }.join(0.001)
deep(2)

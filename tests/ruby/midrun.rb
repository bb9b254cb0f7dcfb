# SPDX-License-Identifier: MIT
# Goes on for a while; attached to in mid-run: its last events, to its end, are known from a run of its own.
class Work
  def initialize
    @done = []
  end

  def step(n)
    text = "step #{n}"
    @done << text.size
    total = [n, n + 1, n + 2].sum { |x| half(x) }
    rescued(total)
  end

  def half(x)
    x / 2.0
  end

  def rescued(x)
    raise ArgumentError, "even" if x.to_i.even?
    x
  rescue ArgumentError
    -x
  end
end

def outer(work)
  100.times do |i|
    value = work.step(i)
    sleep 0.05
    value
  end
end

outer(Work.new)

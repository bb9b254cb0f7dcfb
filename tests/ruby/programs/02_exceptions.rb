# SPDX-License-Identifier: MIT
# raise, rescue, ensure, else, retry, exceptions through frames, own classes, catch and throw.
class Broken < StandardError
  attr_reader :code

  def initialize(message, code)
    super(message)
    @code = code
  end
end

def fails(n)
  raise Broken.new("level #{n}", n) if n.zero?
  fails(n - 1)
ensure
  n += 100
end

def tries
  attempts = 0
  begin
    attempts += 1
    raise ArgumentError, "again" if attempts < 3
    attempts
  rescue ArgumentError
    retry
  else
    attempts * 10
  ensure
    attempts = 0
  end
end

def wraps
  Integer("x")
rescue ArgumentError => e
  raise TypeError, e.message
end

def quiet
  yield
rescue ZeroDivisionError
  :zero
end

begin
  fails(3)
rescue Broken => e
  code = e.code
end
result = tries
begin
  wraps
rescue TypeError => e
  cause = e.cause.class
end
zero = quiet { 1 / 0 }
fine = quiet { 4 / 2 }
modifier = (raise "inline" rescue "saved")
found = catch(:done) do
  10.times do |i|
    throw :done, i if i == 4
  end
  :never
end
def early
  return 1
ensure
  puts "leaving"
end
one = early
deep = begin
  begin
    raise "first"
  ensure
    x = 1
  end
rescue RuntimeError, TypeError => e
  "#{e.message} #{x}"
end
begin
  nil.upcase
rescue NoMethodError
  nothing = true
end
puts code, result, cause, zero, fine, modifier, found, one, deep, nothing

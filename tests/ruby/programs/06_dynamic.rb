# SPDX-License-Identifier: MIT
# method_missing, respond_to_missing?, define_method, send, instance_eval, class_eval with blocks, Module.new, hooks.
class Ghost
  def initialize
    @data = {}
  end

  def method_missing(name, *args)
    text = name.to_s
    if text.end_with?("=")
      @data[text.chomp("=").to_sym] = args.first
    elsif @data.key?(name)
      @data[name]
    else
      super
    end
  end

  def respond_to_missing?(name, all = false)
    name.to_s.end_with?("=") || @data.key?(name) || super
  end
end

class Maker
  %w[red green].each_with_index do |color, i|
    define_method(color) do |times = 1|
      color * times + i.to_s
    end
    define_method("#{color}?") { |other| return other == color }
  end

  def self.method_added(name)
    (@added ||= []) << name
  end

  def later
    1
  end

  def self.added
    @added
  end
end

g = Ghost.new
g.size = 5
g.label = "x"
size = g.size
can = g.respond_to?(:label)
begin
  g.unknown
rescue NoMethodError
  cannot = true
end
m = Maker.new
red = m.red
greens = m.green(2)
is = m.red?("red")
sent = m.public_send(:green, 3)
Maker.class_eval do
  def extra(x)
    x + 1
  end
end
more = m.extra(1)
inside = g.instance_eval { @data[:size] }
anonymous = Class.new do
  define_method(:hi) { |who = "you"| "hi #{who}" }
end
hi = anonymous.new.hi("me")
block = m.method(:extra).to_proc
mapped = [1, 2].map(&block)
symbols = %w[a b].map(&:upcase)
puts size, can, cannot, red, greens, is, sent, more, inside, hi, mapped.inspect, symbols.inspect, Maker.added.inspect

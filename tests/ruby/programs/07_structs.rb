# SPDX-License-Identifier: MIT
# Struct with and without a block, keyword_init, pattern matching, case with ranges, classes and lambdas.
Point = Struct.new(:x, :y) do
  def +(other)
    Point.new(x + other.x, y + other.y)
  end

  def length
    Math.sqrt(x * x + y * y)
  end
end
Item = Struct.new(:name, :price, keyword_init: true)

class Box < Struct.new(:items)
  def total
    items.sum { |i| i.price }
  end
end

def kind(v)
  case v
  when 0..9 then :digit
  when Integer then :number
  when /\Aa/ then :a_word
  when String, Symbol then :text
  when ->(x) { x.respond_to?(:each) } then :list
  else :other
  end
end

def shape(data)
  case data
  in { type: :circle, r: Integer => r }
    "circle #{r}"
  in { type: :rect, w:, h: } if w == h
    "square #{w}"
  in { type: :rect, w:, h: }
    "rect #{w}x#{h}"
  in [first, *, last]
    "list #{first}..#{last}"
  in nil | false
    "nothing"
  end
end

p1 = Point.new(3, 4)
p2 = p1 + Point.new(1, 1)
len = p1.length
p2.x = 10
x, y = *p2
box = Box.new([Item.new(name: "a", price: 2), Item.new(name: "b", price: 5)])
total = box.total
kinds = [5, 50, "apple", :sym, [1], nil].map { |v| kind(v) }
shapes = [{ type: :circle, r: 2 }, { type: :rect, w: 2, h: 2 }, { type: :rect, w: 1, h: 2 }, [1, 2, 3], nil].map { |d| shape(d) }
begin
  shape("unknown")
rescue NoMatchingPatternError
  unmatched = true
end
same = Point.new(1, 2) == Point.new(1, 2)
puts len, x, y, total, kinds.inspect, shapes.inspect, unmatched, same

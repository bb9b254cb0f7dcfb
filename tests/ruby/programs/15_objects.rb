# SPDX-License-Identifier: MIT
# Objects: inheritance, operators, conversions, visibility, equality, freezing and copying, constants, ObjectSpace, GC.
class Vector
  attr_reader :x, :y
  include Comparable

  def self.zero
    @zero ||= new(0, 0)
  end

  def initialize(x, y)
    @x, @y = x, y
  end

  def +(o) = Vector.new(x + o.x, y + o.y)
  def -@ = Vector.new(-x, -y)
  def [](i) = i.zero? ? x : y
  def ==(o) = o.is_a?(Vector) && x == o.x && y == o.y
  alias eql? ==

  def []=(i, v)
    i.zero? ? @x = v : @y = v
  end

  def hash
    x * 31 + y
  end

  def <=>(o)
    norm <=> o.norm
  end

  def coerce(n)
    [Vector.new(n, n), self]
  end

  def to_s
    "(#{x}, #{y})"
  end

  def to_proc
    ->(n) { n * x }
  end

  def each
    yield x
    yield y
  end

  protected

  def norm
    x * x + y * y
  end
end

class Vector3 < Vector
  attr_reader :z

  def initialize(x, y, z)
    super(x, y)
    @z = z
  end

  def to_s
    super.sub(")", ", #{z})")
  end

  def initialize_copy(other)
    @z = other.z + 1
  end

  private

  def secret
    :hidden
  end
end

v = Vector.new(1, 2)
w = v + Vector.new(3, 4)
n = -w
first = w[0]
w[1] = 9
bigger = w > v
equal = Vector.new(1, 2) == v
unique = [v, Vector.new(1, 2)].uniq.size
text = "#{w} #{n}"
t = Vector3.new(1, 2, 3)
copy = t.dup
described = [t.to_s, copy.to_s]
begin
  t.secret
rescue NoMethodError
  refused = true
end
allowed = t.send(:secret)
doubled = [1, 2].map(&w)
sum = 0
w.each { |c| sum += c }
frozen = v.freeze.frozen?
begin
  v[0] = 5
rescue FrozenError => e
  kind = e.class.name
end
zero = Vector.zero.equal?(Vector.zero)
200.times { |i| Vector.new(i, "s" * i) }
GC.start
GC.compact if GC.respond_to?(:compact) && ENV["COMPACT"]
kinds = t.is_a?(Vector), Vector3.ancestors.include?(Comparable), t.instance_variables
puts first, bigger, equal, unique, text, described.inspect, refused, allowed, doubled.inspect, sum, frozen, kind, zero, kinds.inspect

# SPDX-License-Identifier: MIT
# Loops of all kinds, Enumerable on an own class, chained enumerators, flip-flop, ranges, step, until, begin/end while.
class Tree
  include Enumerable

  def initialize
    @root = nil
  end

  def add(v)
    @root = insert(@root, v)
    self
  end

  def each(&block)
    return enum_for(:each) unless block
    walk(@root, &block)
  end

  private

  def insert(node, v)
    return [v, nil, nil] unless node
    if v < node[0]
      node[1] = insert(node[1], v)
    else
      node[2] = insert(node[2], v)
    end
    node
  end

  def walk(node, &block)
    return unless node
    walk(node[1], &block)
    block.call(node[0])
    walk(node[2], &block)
  end
end

tree = Tree.new
[5, 2, 8, 1].each { |v| tree.add(v) }
sorted = tree.to_a
big = tree.select { |v| v > 2 }
first = tree.first
pairs = tree.each_slice(2).to_a
sum = tree.inject(:+)
product = tree.reduce(1) { |a, v| a * v }
i = 0
i += 1 while i < 5
until i.zero?
  i -= 1
  next if i == 3
  break if i == 1
end
tries = 0
begin
  tries += 1
end while tries < 3
stepped = []
1.step(10, 4) { |v| stepped << v }
10.downto(8) { |v| stepped << v }
for a, b in [[1, 2], [3, 4]]
  stepped << a * b
end
grouped = (1..6).group_by { |v| v % 3 }
window = (1..4).each_cons(2).map { |x, y| y - x }
outer = (1..3).each do |x|
  (1..3).each do |y|
    next if y == 2
    break if y > x
    stepped << [x, y]
  end
end
zipped = [1, 2].zip(%w[a b]).to_h
puts sorted.inspect, big.inspect, first, pairs.inspect, sum, product, i, tries, stepped.inspect, grouped, window.inspect, zipped, outer

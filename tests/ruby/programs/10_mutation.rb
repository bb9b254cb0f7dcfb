# SPDX-License-Identifier: MIT
# Strings, arrays and hashes that are changed in place, small and large ones, shared and frozen ones.
list = [1, 2, 3]
same = list
list << 4
list.unshift(0)
list[2] = "two"
list.map! { |x| x.to_s }
list.delete("3")
list.concat(%w[a b])
short = list.take(2)
list.clear
text = +"abc"
text << "def"
text[0] = "X"
text.upcase!
text.sub!("D", "d")
long = "x" * 30
long << "y" * 10
part = long[25, 10]
h = { a: 1 }
h[:b] = [1]
h[:b] << 2
h["c"] = { deep: 1 }
h["c"][:deep] += 1
h.delete(:a)
h.merge!(d: nil, e: 2.5)
h.transform_values! { |v| v.is_a?(Float) ? v * 2 : v }
h.each { |k, v| h[k] = v }
many = {}
12.times { |i| many[i] = i * i }
many.delete(3)
many.reject! { |k, _| k.even? }
counts = Hash.new(0)
%w[a b a].each { |w| counts[w] += 1 }
lists = Hash.new { |hash, k| hash[k] = [] }
lists[:x] << 1
lists[:y].push(2, 3)
nested = Array.new(2) { Array.new(2, 0) }
nested[1][0] = 5
frozen = "ice".freeze
begin
  frozen << "cream"
rescue FrozenError
  text = "still #{frozen}"
end
a, b = 1, 2
a, b = b, a
a += 1
b -= 1
a ||= 5
c = nil
c ||= 6
c &&= c + 1
symbols = %i[one two]
symbols.push("dyn amic".to_sym)
puts list.inspect, same.equal?(list), short.inspect, text, long, part, h.inspect, many.inspect, counts, lists, nested.inspect, a, b, c, symbols.inspect

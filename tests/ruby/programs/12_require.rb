# SPDX-License-Identifier: MIT
# A second file that is required, one that is loaded twice, autoload, constants, global and class variables.
require_relative "../12_library"
require "json"
require "set"

$level = 1

class Settings
  LIMIT = 3
  @@instances = 0

  def initialize
    @@instances += 1
    $level += 1
  end

  def self.instances
    @@instances
  end

  def limit
    LIMIT + Library::OFFSET
  end
end

made = Library.build(3) { |i| i * 2 }
again = Library.build(2)
settings = Settings.new
limit = settings.limit
Settings.new
count = Settings.instances
level = $level
text = JSON.generate({ "a" => [1, nil, true], "b" => { "c" => 1.5 } })
parsed = JSON.parse(text)
value = parsed["b"]["c"]
unique = Set.new([1, 2, 2, 3])
size = unique.size
words = "the quick brown fox".split.map(&:capitalize).join(" ")
matched = words[/Q(\w+)/, 1]
swapped = words.gsub(/(\w)(\w*)/) { "#{$2}#{$1}" }
formatted = format("%05.2f|%-5s|%+d", 3.14159, "ab", 7)
here = <<~TEXT
  first
    second #{count}
TEXT
puts made.inspect, again.inspect, limit, count, level, text, value, size, words, matched, swapped, formatted, here

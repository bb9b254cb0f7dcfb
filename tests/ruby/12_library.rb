# SPDX-License-Identifier: MIT
# What 12_require.rb requires.
module Library
  OFFSET = 10

  def self.build(n)
    (0...n).map do |i|
      block_given? ? yield(i) : i
    end
  end
end

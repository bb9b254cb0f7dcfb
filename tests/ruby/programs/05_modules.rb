# SPDX-License-Identifier: MIT
# Modules and mixins: include, prepend, extend, refinements, super, Comparable, module functions, singleton classes.
module Greets
  def greet
    "hello from #{name}"
  end
end

module Loud
  def greet
    super.upcase + "!"
  end
end

module Counts
  def self.included(base)
    base.extend(ClassMethods)
  end

  module ClassMethods
    def made
      @made ||= 0
    end

    def one_more
      @made = made + 1
    end
  end
end

class Person
  include Greets
  include Counts
  include Comparable
  prepend Loud
  attr_accessor :name, :age

  def initialize(name, age)
    self.class.one_more
    @name = name
    @age = age
  end

  def <=>(other)
    age <=> other.age
  end

  class << self
    def young(name)
      new(name, 1)
    end
  end
end

module Shout
  refine String do
    def shout
      upcase + "?"
    end
  end
end
using Shout

module Tools
  module_function

  def half(x)
    x / 2
  end
end

a = Person.new("ann", 30)
b = Person.young("bob")
greeting = a.greet
older = a > b
sorted = [a, b].min.name
def b.greet
  "just #{super}"
end
special = b.greet
loud = "what".shout
half = Tools.half(9)
between = a.between?(b, a)
puts greeting, older, sorted, special, loud, half, between, Person.made

# SPDX-License-Identifier: MIT
# A larger program: a calculator with a tokenizer, a parser and an evaluator.
class SyntaxProblem < StandardError; end

Token = Struct.new(:kind, :text)

class Lexer
  RULES = { number: /\d+(\.\d+)?/, name: /[a-z]\w*/, op: %r{[-+*/()=]} }.freeze

  def initialize(text)
    @text = text
    @pos = 0
  end

  def tokens
    list = []
    until @pos >= @text.size
      if @text[@pos] == " "
        @pos += 1
        next
      end
      list << scan
    end
    list
  end

  private

  def scan
    RULES.each do |kind, rule|
      m = rule.match(@text, @pos)
      next unless m && m.begin(0) == @pos
      @pos = m.end(0)
      return Token.new(kind, m[0])
    end
    raise SyntaxProblem, "what is #{@text[@pos]}?"
  end
end

class Parser
  def initialize(tokens)
    @tokens = tokens
  end

  def parse
    tree = assignment
    raise SyntaxProblem, "too much" unless @tokens.empty?
    tree
  end

  private

  def assignment
    if @tokens[0]&.kind == :name && @tokens[1]&.text == "="
      name = @tokens.shift.text
      @tokens.shift
      [:set, name, assignment]
    else
      sum
    end
  end

  def sum
    left = product
    while %w[+ -].include?(@tokens[0]&.text)
      op = @tokens.shift.text.to_sym
      left = [op, left, product]
    end
    left
  end

  def product
    left = atom
    while %w[* /].include?(@tokens[0]&.text)
      op = @tokens.shift.text.to_sym
      left = [op, left, atom]
    end
    left
  end

  def atom
    token = @tokens.shift
    case token&.kind
    when :number then token.text.include?(".") ? token.text.to_f : token.text.to_i
    when :name then [:get, token.text]
    else
      raise SyntaxProblem, "expected a value" unless token&.text == "("
      inner = sum
      raise SyntaxProblem, "not closed" unless @tokens.shift&.text == ")"
      inner
    end
  end
end

class Machine
  def initialize
    @vars = Hash.new { |_, k| raise KeyError, k }
  end

  def run(text)
    evaluate(Parser.new(Lexer.new(text).tokens).parse)
  rescue SyntaxProblem, KeyError, ZeroDivisionError => e
    "#{e.class}: #{e.message}"
  end

  private

  def evaluate(node)
    return node unless node.is_a?(Array)
    op, a, b = node
    case op
    when :set then @vars[a] = evaluate(b)
    when :get then @vars[a]
    else evaluate(a).public_send(op, evaluate(b))
    end
  end
end

machine = Machine.new
results = ["1 + 2 * 3", "x = (4 - 1) * 2", "x * x", "y + 1", "1 / 0", "2 * (3", "7 ? 1", "1.5 * 4"].map do |line|
  machine.run(line)
end
puts results

# SPDX-License-Identifier: MIT
# Compares what ctbpf index printed with what TracePoint said: ruby compare.rb TRUTH STEPS [--suffix]
# Each thread's calls, lines, exceptions and returns must be the same, in order; at each line every local value that the
# truth knows, and with each return its value. --suffix: the recording began in mid-run, its events must be the end of
# the truth's.
MOST = 8
STEP = /\A(\d+) (.*?):(\d+) (.+) (call|resume|line|return|yield|unwind|exception)(?: (.*))?\z/
VALUE = /\A(\d+)   (argument|value|unbound) (\S+)(?: = (.*))?\z/
# What instructions, and raising, do by themselves, unless the program is traced.
OPERATORS = %w[backtrace + - * / % == != < <= > >= << & | [] []= length size empty? nil? succ ! =~ min max -@ freeze hash]
Event = Struct.new(:key, :values, :result)

# A method made of a block is called and left by two events each; for us it is one call.
def read_truth(path)
  threads = Hash.new { |h, k| h[k] = [[], []] }
  last = {}
  File.foreach(path, chomp: true) do |text|
    thread, event, line, name, *rest = text.split("\t", -1)
    events, stack = threads[thread]
    made, last[thread] = last[thread] == "call", event
    case event
    when "c_call", "c_return"
      next if events.empty? || OPERATORS.include?(name)
      # What is raised in a C method leaves that first for us.
      at = event == "c_return" && events.last.key[0] == "exception" ? -2 : -1
      events.insert(at, Event.new([event[2..], name, 0], {}, rest[0]))
    when "call", "b_call", "class"
      if event == "b_call" && made && stack.last == :call
        stack[-1] = :both
        next
      end
      stack << event.to_sym
      events << Event.new(["call", name, 0], {})
    when "return", "b_return", "end"
      next if event == "b_return" && stack.last == :both
      stack.pop
      events << Event.new(["return", name, 0], {}, rest[0])
    when "raise"
      events << Event.new(["exception", rest[0], line.to_i], {})
    else
      events << Event.new(["line", "", line.to_i], rest.to_h { |v| v.split("=", 2) })
    end
  end
  threads.values.map(&:first)
end

# What a function is called in the truth: methods by their names, blocks and classes not at all.
def short(name)
  name.match?(/\A(block |<|singleton class)/) ? "" : name[/[^#.]*\z|(?<=[#.]).+\z/]
end

def read_steps(path)
  threads = {}
  stacks = Hash.new { |h, k| h[k] = [] }
  runs = {}
  turn = Hash.new(0) # a kernel thread may run several of Ruby's, one after the other
  main = nil
  File.foreach(path, chomp: true) do |text|
    text = text.scrub
    if (m = VALUE.match(text))
      stacks[m[1]].last&.store(m[3], m[4])
      next
    end
    m = STEP.match(text) or abort "cannot read: #{text}"
    tid, file, line, name, what, rest = m.captures
    stack = stacks[tid]
    main ||= tid
    stack << (runs[rest] ||= { "" => name }) if %w[call resume].include?(what)
    top = stack.last ? stack.last.dup : {}
    stack.pop if %w[return yield unwind].include?(what)
    id = [tid, turn[tid]]
    turn[tid] += 1 if stack.empty? && %w[return unwind].include?(what) && tid != main
    next if what == "yield" || (what == "resume" && threads[id]) # a fiber's turn
    next if what != "line" && what != "exception" && name.match?(/\A(<main>|<top |eval in )/)
    key = case what
          when "line" then ["line", "", line.to_i]
          when "exception" then ["exception", rest[/\A<?([\w:]+)/, 1], line.to_i]
          when "call", "resume" then ["call", short(name), 0]
          else ["return", short(name), 0]
          end
    # Before the first line: what gets the program ready.
    next if file == "<native>" && (!threads[id] || OPERATORS.include?(short(name)))
    (threads[id] ||= []) << Event.new(key, what == "line" ? top : {}, what == "return" ? rest : nil)
  end
  threads.values
end

def show(events, i)
  ([0, i - 4].max..[events.size - 1, i + 4].min).map { |k| "    #{k == i ? ">" : " "} #{events[k].key}" }.join("\n")
end

def compare(truth, steps, suffix)
  if suffix
    steps.shift while steps[0] && steps[0].key[0] == "call"
    truth = truth.last(steps.size)
    abort "only #{truth.size} events were recorded" if truth.size < 100
  end
  wrong = 0
  [truth.size, steps.size].max.times do |i|
    if !steps[i] || !truth[i] || truth[i].key != steps[i].key
      puts "  event #{i} of #{truth.size}: truth", show(truth, i), "  recorded (#{steps.size})", show(steps, i)
      return 1
    end
    name = steps[i].values[""].to_s
    truth[i].values.each do |k, want|
      got = steps[i].values[k]
      next if got == want || (got.nil? && (want == "nil" || name.start_with?("block ") || suffix))
      wrong += 1
      puts "  event #{i} #{truth[i].key}: #{k} is #{want}, recorded #{got.inspect}" if wrong <= MOST
    end
    want = truth[i].key[1] == "sleep" ? "" : truth[i].result.to_s # seconds, rounded
    next if want.empty? || want.match?(/0x\h{8}/) || steps[i].result.nil? || steps[i].result == want || truth[i].key[0] != "return"
    wrong += 1
    puts "  event #{i} #{truth[i].key}: returns #{want}, recorded #{steps[i].result}" if wrong <= MOST
  end
  wrong.positive? ? 1 : 0
end

suffix = ARGV.delete("--suffix")
truth, steps = read_truth(ARGV[0]), read_steps(ARGV[1])
abort "nothing to compare: #{truth.size} and #{steps.size} threads" if truth.empty? || steps.empty?
abort "#{truth.size} threads ran, #{steps.size} are in the recording" if truth.size != steps.size
order = ->(events) { events.map(&:key).reject { |k| k[0] == "exception" } } # threads start in any order
truth, steps = truth.sort_by(&order), steps.sort_by(&order)
bad = truth.zip(steps).count { |a, b| compare(a, b, suffix) == 1 }
puts "#{truth.sum(&:size)} events and #{truth.sum { |t| t.sum { |e| e.values.size } }} values agree" if bad.zero?
exit(bad.zero? ? 0 : 1)

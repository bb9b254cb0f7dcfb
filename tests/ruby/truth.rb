# SPDX-License-Identifier: MIT
# What TracePoint says of a program, as ground truth: ruby truth.rb PROGRAM OUT
# OUT: one line for each event: THREAD<tab>EVENT<tab>LINE<tab>FUNCTION[<tab>NAME=NOTATION...]; local values with line
# events, those of simple types only, in the notation of `ctbpf index --print`.
PATH, OUT = ARGV.shift(2)
DEPTH, ITEMS, BYTES = 3, 16, 80

# Nothing here is in a file whose name has the program's in it; what it calls is not traced.
module Truth
  EVENTS = []
  THREADS = {}

  def self.quote(s)
    q = s.include?("'") && !s.include?('"') ? '"' : "'"
    q + s.gsub("\\") { "\\\\" }.gsub(q) { "\\" + q } + q
  end

  def self.float(f)
    return "nan" if f.nan?
    return f < 0 ? "-inf" : "inf" if f.infinite?
    f.to_s
  end

  # nil: not one of the types whose notation we promise, or larger than the limits.
  def self.simple(v, depth = 0)
    case v
    when nil, true, false then v.inspect
    when Integer then v.bit_length < 8 * BYTES - 64 ? v.to_s : nil
    when Float then v.abs < 1e16 && (v.zero? || v.abs >= 1e-4) ? float(v) : nil
    when Symbol then ":" + quote(v.to_s)
    when String
      v.instance_of?(String) && v.bytesize <= BYTES && v.match?(/\A[ -~]*\z/) ? quote(v) : nil
    when Array
      return nil if v.size > ITEMS || depth >= DEPTH || !v.instance_of?(Array)
      parts = v.map { |x| simple(x, depth + 1) }
      parts.include?(nil) ? nil : "[" + parts.join(", ") + "]"
    when Hash
      return nil if v.size > ITEMS || depth >= DEPTH || !v.instance_of?(Hash)
      parts = v.map { |k, x| [simple(k, depth + 1), simple(x, depth + 1)] }
      parts.any? { |p| p.include?(nil) } ? nil : "{" + parts.map { |k, x| "#{k}: #{x}" }.join(", ") + "}"
    end
  end

  def self.values(tp)
    b = tp.binding
    b.local_variables.filter_map do |name|
      text = simple(b.local_variable_get(name))
      "#{name}=#{text}" if text
    end
  rescue StandardError
    []
  end

  # Accessors are told of as C methods, but only in a program that is traced.
  def self.accessor?(tp)
    owner = tp.defined_class
    return true if owner.instance_method(tp.method_id).source_location
    owner < Struct && owner.members.include?(tp.method_id.to_s.chomp("=").to_sym)
  rescue StandardError
    false
  end

  def self.event(tp)
    return if tp.path != PATH || (%i[c_call c_return].include?(tp.event) && accessor?(tp))
    me = (THREADS[Thread.current] ||= THREADS.size)
    name = %i[call return c_call c_return].include?(tp.event) ? tp.method_id.to_s : ""
    line = [me.to_s, tp.event.to_s, tp.lineno.to_s, name]
    line.concat(values(tp)) if tp.event == :line
    line << tp.raised_exception.class.name.to_s if tp.event == :raise
    line << simple(tp.return_value).to_s if %i[return b_return c_return].include?(tp.event)
    EVENTS << line.join("\t")
  end
end

$0 = PATH
EVENTS = %i[line call return b_call b_return c_call c_return class end raise]
trace = TracePoint.new(*EVENTS) { |tp| Truth.event(tp) }
at_exit { trace.disable; File.write(OUT, Truth::EVENTS.join("\n") + "\n") }
trace.enable
load PATH

"""An interpreter of expressions: tokenizer, parser, evaluator; code as programs look."""
import re

TOKEN = re.compile(r"\s*(?:(\d+\.?\d*)|(.))")


class ParseError(Exception):
    pass


class Parser:
    def __init__(self, text):
        self.tokens = [
            (number and ("num", float(number))) or ("op", op)
            for number, op in TOKEN.findall(text)
        ]
        self.tokens.append(("end", None))
        self.pos = 0

    def peek(self):
        return self.tokens[self.pos]

    def take(self):
        t = self.tokens[self.pos]
        self.pos += 1
        return t

    def expression(self):
        left = self.term()
        while self.peek() in (("op", "+"), ("op", "-")):
            op = self.take()[1]
            right = self.term()
            left = (op, left, right)
        return left

    def term(self):
        left = self.factor()
        while self.peek() in (("op", "*"), ("op", "/")):
            op = self.take()[1]
            left = (op, left, self.factor())
        return left

    def factor(self):
        kind, value = self.take()
        if kind == "num":
            return value
        if value == "-":
            return ("-", 0.0, self.factor())
        if value == "(":
            inner = self.expression()
            if self.take() != ("op", ")"):
                raise ParseError("missing )")
            return inner
        raise ParseError(f"unexpected {value!r}")


OPS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}


def evaluate(node):
    if isinstance(node, float):
        return node
    op, a, b = node
    return OPS[op](evaluate(a), evaluate(b))


for source in ("1 + 2 * 3", "(1 + 2) * -3", "8 / 4 / 2", "(1", "*", "1 / 0"):
    try:
        print(source, "=", evaluate(Parser(source).expression()))
    except (ParseError, ZeroDivisionError) as e:
        print(source, "!", e)

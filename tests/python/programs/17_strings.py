"""Strings: formatted, sliced, encoded, joined, big and multi-line."""
name = "w\u00f6rld"
n = 255
print(f"{name!r:>10} {n:#x} {n:08b} {3.14159:.2f} {'nested ' + f'{n}'}")
print("%s %d" % (name, n), "{0} {k}".format(1, k=2))
text = """first
second
third"""
for i, line in enumerate(text.splitlines()):
    print(i, line[::-1], line.upper())
big = "x" * 500
data = name.encode()
print(len(big), data, data.decode("utf-8"), "\U0001f600".encode("utf-16-le"))


def build(n):
    s = ""
    for i in range(n):
        s += str(i)
    return s


print(build(20), ",".join(map(str, range(5))), "a-b-c".split("-"), "abc".translate({97: "z"}))

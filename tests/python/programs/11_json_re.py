"""json with hooks, re with callbacks."""
import json
import re


def hook(d):
    d["seen"] = True
    return d


def default(o):
    return list(o)


text = json.dumps({"a": [1, 2.5, None, True], "s": {1}, "u": "\u00e9\u4e2d\U0001f600"}, default=default, sort_keys=True)
print(text)
print(json.loads(text, object_hook=hook)["u"])
try:
    json.loads("{bad")
except json.JSONDecodeError as e:
    print(e.pos)
print(re.sub(r"\d+", lambda m: str(int(m.group()) + 1), "a1 b22 c333"))
pattern = re.compile(r"(?P<key>\w+)=(?P<value>[^;]*);?")
for m in pattern.finditer("x=1;y=two;z="):
    print(m.groupdict())
print(re.split(r"[,; ]+", "a, b;c  d"), re.findall(r"[a-z]", "A1b2c"))

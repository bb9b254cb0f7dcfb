# SPDX-License-Identifier: MIT
"""What is in an export, as Google's library reads it: python3 text.py perfetto|profile <FILE. What decode.c prints."""
import sys


def put(message, depth, out):
    for field, value in message.ListFields():
        for v in value if field.label == field.LABEL_REPEATED else [value]:
            if field.message_type:
                out.append(f"{' ' * depth}{field.number} {{")
                put(v, depth + 1, out)
                out.append(f"{' ' * depth}}}")
                continue
            if isinstance(v, str):
                v = v.encode()
            text = v.hex() if isinstance(v, bytes) else "%.17g" % v if isinstance(v, float) else int(v)
            out.append(f"{' ' * depth}{field.number} {text}")


if sys.argv[1] == "perfetto":
    import perfetto_pb2
    top = perfetto_pb2.Trace()
else:
    import profile_pb2
    top = profile_pb2.Profile()
top.ParseFromString(sys.stdin.buffer.read())
lines = []
put(top, 0, lines)
sys.stdout.write("".join(line + "\n" for line in lines))

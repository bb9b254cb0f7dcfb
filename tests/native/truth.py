# SPDX-License-Identifier: MIT
# For gdb: steps through a program from main to its end and writes "FUNCTION LINE NAME=VALUE..." to $TRUTH for each line
# of $SOURCE that it comes to, with the integers among its variables. It cannot step into all there is: at the places
# in $BREAK it stops, too.
import os

import gdb

source = os.environ["SOURCE"]
out = open(os.environ["TRUTH"], "w")
for setting in ("pagination off", "confirm off", "print frame-arguments none", "disable-randomization on",
                "debuginfod enabled off"):
    gdb.execute("set " + setting, to_string=True)
gdb.execute("handle SIGUSR1 nostop noprint pass", to_string=True)
gdb.execute("break main", to_string=True)
gdb.execute("run > /dev/null", to_string=True)
for place in os.environ.get("BREAK", "").split():
    if place.isdigit():  # a line: all that it has
        for entry in gdb.newest_frame().find_sal().symtab.linetable().line(int(place)) or []:
            gdb.execute(f"break *{entry.pc}", to_string=True)
    else:
        gdb.execute("break " + place, to_string=True)


def values(frame):
    """Of integers, in the blocks around the line."""
    found, block = {}, frame.block()
    while block:
        for symbol in block:
            if (symbol.is_variable or symbol.is_argument) and symbol.name not in found:
                value = symbol.value(frame)
                if symbol.type.strip_typedefs().code == gdb.TYPE_CODE_INT and not value.is_optimized_out:
                    found[symbol.name] = int(value)
        if block.function:
            break
        block = block.superblock
    return " ".join(f"{name}={found[name]}" for name in sorted(found))


def depth(frame):
    n = 0
    while frame := frame.older():
        n += 1
    return n


lines = {}  # by frame: a line that is come back to from a call does not begin again
while gdb.selected_inferior().threads():
    frame = gdb.newest_frame()
    sal = frame.find_sal()
    if sal.symtab and sal.symtab.filename.endswith(source):
        level = depth(frame)
        for deeper in [k for k in lines if k > level]:
            del lines[deeper]
        here = (frame.name(), sal.line)
        # Nothing begins in the middle of a line.
        if frame.pc() == sal.pc and lines.get(level) != here:
            lines[level] = here
            out.write(f"{frame.name()} {sal.line} {values(frame)}".rstrip() + "\n")
    try:
        gdb.execute("step" if sal.symtab else "finish", to_string=True)
    except gdb.error:
        gdb.execute("continue", to_string=True)
out.close()

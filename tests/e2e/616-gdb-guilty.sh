#!/bin/bash
# SPDX-License-Identifier: MIT
# Forward to a crash, watch the word that is wrong, and back to the store that wrote it: racing threads, redis, CPython.
# (A C program's heap: 610-gdb.)
# timeout: 300
# shellcheck source-path=SCRIPTDIR source=600-gdb.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/600-gdb.sh"

step "threads that race: the store, and what the other thread had done meanwhile"
"$CTBPF" record -q -o "$T/o.ctr" -- "$PROGRAMS/overrun" && fail "it does not crash"
assert_recording "$T/o.ctr"
in_gdb "$T/o.ctr" <<'GDB'
python
go("continue", "SIGSEGV")
crash = registers()
assert bt()[0] == "main", bt()
wrong = value("(long)pool.owner")
assert wrong < 100, wrong
gdb.execute("watch pool.owner")
go("reverse-continue", "breakpoint")
assert bt()[:2] == ["push", "work"], bt()
assert value("value") == wrong and value("pool.depth") == 5
assert text("pool.owner").endswith("<someone>"), text("pool.owner")
guilty = gdb.selected_thread().ptid[1]
go("stepi")
assert value("(long)pool.owner") == wrong
# It had looked when there was room; the other thread has taken that.
gdb.execute("delete")
gdb.execute("watch pool.depth")
pushes = []
while True:
    go("reverse-continue", "breakpoint")
    pushes.append((gdb.selected_thread().ptid[1], value("pool.depth")))
    if pushes[-1][0] != guilty:
        break
assert pushes[0] == (guilty, 4) and pushes[-1][1] == 3 and bt()[0] == "push", pushes
gdb.execute("delete")
go("continue", "SIGSEGV")
assert registers() == crash
end
GDB

step "redis: a module's careless copy"
need redis-server gcc
cat >"$T/notes.c" <<'C'
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct RedisModuleCtx RedisModuleCtx;
typedef struct RedisModuleString RedisModuleString;
typedef int (*command)(RedisModuleCtx *, RedisModuleString **, int);

/* The part of redis's module interface that is used. */
static int (*get_api)(const char *, void *);
static int (*attributes)(RedisModuleCtx *, const char *, int, int);
static int (*create)(RedisModuleCtx *, const char *, command, const char *, int, int, int);
static const char *(*text_of)(const RedisModuleString *, size_t *);
static int (*reply)(RedisModuleCtx *, long long);

struct note {
	char text[16];
	struct note *next;
};
static struct note *notes;

static int add(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
	struct note *n = malloc(sizeof(*n));
	size_t len;
	const char *text = text_of(argv[argc - 1], &len);

	n->next = notes;
	notes = n;
	memcpy(n->text, text, len); /* guilty */
	return reply(ctx, (long long)len);
}

static int count(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
	long long all = 0;

	(void)argv, (void)argc;
	for (struct note *n = notes; n; n = n->next)
		all++;
	return reply(ctx, all);
}

int RedisModule_OnLoad(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
	(void)argv, (void)argc;
	get_api = (int (*)(const char *, void *))((void **)ctx)[0];
	get_api("RedisModule_SetModuleAttribs", &attributes);
	get_api("RedisModule_CreateCommand", &create);
	get_api("RedisModule_StringPtrLen", &text_of);
	get_api("RedisModule_ReplyWithLongLong", &reply);
	attributes(ctx, "notes", 1, 1);
	return create(ctx, "note.add", add, "write", 0, 0, 0) || create(ctx, "note.count", count, "readonly", 0, 0, 0);
}
C
gcc -g -O0 -shared -fPIC -o "$T/notes.so" "$T/notes.c"
start_redis --loadmodule "$T/notes.so"
start_recorder "$T/r.ctr" -p "$PID_redis"
{
	for i in {1..20}; do echo "set key:$i $i"; echo "note.add note-$i"; done
	echo "note.add a-note-that-is-longer"
	for i in {1..20}; do echo "get key:$i"; echo "note.add other-$i"; done
	echo note.count
} | redis-cli -s "$SOCK" >"$T/out" 2>&1 || true
wait_for 20 gone "$PID_redis" || fail "redis goes on: $(tail -3 "$T/out")"
wait "$PID_recorder" || true
in_gdb "$T/r.ctr" <<'GDB'
python
go("continue", "SIGSEGV")
assert bt()[0] == "count" and "main" in bt(), bt()
# The last node that can be read, by way of the list as it is now.
n = gdb.parse_and_eval("notes")
def readable(p):
    try:
        return int(p["text"][0]) is not None
    except gdb.MemoryError:
        return False
while readable(n["next"]):
    n = n["next"]
assert n["text"].string(length=16).startswith("a-note-that"), n["text"]
gdb.execute("watch -l ((struct note *)%#x)->next" % int(n))
go("reverse-continue", "breakpoint")
there = bt()
assert "add" in there and "main" in there, there
while gdb.selected_frame().name() != "add":
    gdb.execute("up")
assert gdb.parse_and_eval("text").string() == "a-note-that-is-longer"
gdb.execute("frame 0")
before = gdb.parse_and_eval("((struct note *)%#x)->next->text" % int(n)).string(length=7)
assert before == "note-20", before
go("stepi")
assert not readable(gdb.parse_and_eval("((struct note *)%#x)->next" % int(n)))
end
GDB

step "CPython: a store by way of ctypes"
need /usr/bin/python3
cat >"$T/p.py" <<'PY'
import ctypes, json
items = [object() for _ in range(8)]
place = id(items) + 24 # where a list has the address of its items
print(hex(place), flush=True)
for i in range(60):
    json.dumps(list(range(i * 10)))
    if i == 20:
        ctypes.c_ssize_t.from_address(place).value = 0x1230
    if i == 50:
        items[3]
PY
assert_status 139 "$CTBPF" record -q -o "$T/p.ctr" -- /usr/bin/python3 "$T/p.py"
in_gdb "$T/p.ctr" <<'GDB'
python
go("continue", "SIGSEGV")
crash = registers()
place = int(run("monitor stdout"), 16)
word = "*(long *)%#x" % place
assert value(word) == 0x1230
gdb.execute("watch " + word)
go("reverse-continue", "breakpoint")
assert "_ctypes" in gdb.solib_name(gdb.newest_frame().pc()), bt()
assert value(word) > 0x1230
go("stepi")
assert value(word) == 0x1230
gdb.execute("delete")
go("continue", "SIGSEGV")
assert registers() == crash
end
GDB

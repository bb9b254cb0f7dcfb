#!/bin/bash
# SPDX-License-Identifier: MIT
# check -p names the language and its version, and what can be had of its calls; what is not known is said, and runs on.
# shellcheck source-path=SCRIPTDIR source=540-common.sh disable=SC2154,SC2016
source "$(dirname "$0")/540-common.sh"
need python3.11 ruby3.1 php8.2 perl lua5.4 node

runs() { # NAME COMMAND...
	start_target "$@"
	wait_for 20 grep -q ready "$T/$1.log"
	OUT=$("$CTBPF" check -p "$PID" 2>&1) || true
}
says() { # LANGUAGE OPTION
	assert_contains "$OUT" "$1"
	assert_contains "$OUT" "--calls=$2"
	assert_contains "$("$CTBPF" check --json -p "$PID" | python3 -c '
import json, sys
for f in json.load(sys.stdin)["targets"][0]["findings"]:
    if f["id"] == "calls":
        print(f["what"])')" "--calls=$2"
	kill "$PID"
}

step "each language"
runs python python3.11 -c 'print("ready", flush=True); import time; time.sleep(100)'
says "Python 3.11." python
runs ruby ruby3.1 --disable-gems -e 'puts "ready"; $stdout.flush; sleep'
says "Ruby 3.1" ruby
runs php php8.2 -r 'echo "ready\n"; sleep(100);'
says "PHP 8.2" php
runs perl perl -e '$| = 1; print "ready\n"; sleep 100'
says "Perl 5.36" perl
runs lua lua5.4 -e 'print("ready") io.stdout:flush() while true do os.execute("sleep 0.1") end'
says "Lua 5.4.4" lua

runs node node -e 'console.log("ready"); setTimeout(() => {}, 100000)'
assert_contains "$OUT" "stacks are native ones"
says "Node.js 20" node

step "what is not known"
# A PHP that says it is another one: its build id is text in its data.
sed 's/API20220829,NTS/API20240924,NTS/g' /usr/bin/php8.2 >"$T/php"
chmod +x "$T/php"
runs php "$T/php" -n -r 'echo "ready\n"; sleep(100);'
assert_contains "$OUT" "no live calls of PHP: $T/php: calls of PHP 8.4 (API20240924,NTS) cannot be seen"
for calls in --calls --calls=php; do
	assert_status 1 "$CTBPF" record --no-replay $calls -p "$PID" -o "$T/none.ctr"
	assert_contains "$OUT" "PHP 8.4"
done
record "$T/php.ctr" "$PID" 0.1 --calls --functions 'zif_*' # there is something else
assert_contains "$OUT" "not all calls: $T/php: calls of PHP 8.4"
alive "$PID" || fail "the target has ended"
# A perl that says it is of another version: PL_version is a byte of its data.
python3 - /usr/bin/perl "$T/perl" <<'PY'
import subprocess, sys
data = bytearray(open(sys.argv[1], "rb").read())
symbols = subprocess.run(["nm", "-D", sys.argv[1]], capture_output=True, text=True, check=True).stdout
at = next(int(l.split()[0], 16) for l in symbols.splitlines() if l.split()[-1].split("@")[0] == "PL_version")
assert data[at] == 36, data[at]
data[at] = 99
open(sys.argv[2], "wb").write(data)
PY
chmod +x "$T/perl"
runs other "$T/perl" -e '$| = 1; print "ready\n"; sleep 100'
assert_contains "$OUT" "no live calls of Perl"
assert_status 1 "$CTBPF" record --no-replay --calls=perl -p "$PID" -o "$T/none.ctr"
assert_contains "$OUT" "not known"
alive "$PID" || fail "the target has ended"

#!/bin/bash
# SPDX-License-Identifier: MIT
# A Python script (json, regular expressions, files, threads) is recorded in mid-run and gives the right answer.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

cat >"$T/work.py" <<'PY'
import hashlib, json, os, re, signal, sys, threading, time

stop = False
def on_term(*_):
    global stop
    stop = True
signal.signal(signal.SIGTERM, on_term)
data = {f"key{i}": [i, str(i) * 3, {"x": i / 7}] for i in range(300)}
found = [0] * 3
def worker(n):
    while not stop:
        text = json.dumps(data)
        again = json.loads(text)
        assert again == data
        numbers = re.findall(r'"key(\d+)": \[(\d+), "(\d+)"', text)
        assert len(numbers) == 300 and all(int(a) == int(b) for a, b, _ in numbers)
        path = os.path.join(sys.argv[1], f"file{n}")
        with open(path, "w") as f:
            f.write(text)
        with open(path) as f:
            assert hashlib.sha256(f.read().encode()).digest() == hashlib.sha256(text.encode()).digest()
        found[n] += 1
        time.sleep(0.01)
threads = [threading.Thread(target=worker, args=(n,)) for n in range(3)]
for t in threads: t.start()
while not stop:
    time.sleep(0.02)
    print("tick", sum(found), flush=True)
for t in threads: t.join()
print("end", min(found) > 0, flush=True)
PY
start_target script "$(python3 -c 'import sys; print(sys.executable)')" "$T/work.py" "$T"
wait_for 15 grep -q '^tick [1-9]' "$T/script.log"
before=$(shape "$PID_script" | grep -vE '^[0-9a-f]+-|^cpus') # its files and memory come and go
assert_status 0 "$CTBPF" record -p "$PID_script" -d 2 -o "$T/r.ctr"
goes_on script
assert_recording "$T/r.ctr"
assert_eq "$(info "$T/r.ctr" threads)" 4 threads
assert_eq "$(shape "$PID_script" | grep -vE '^[0-9a-f]+-|^cpus')" "$before" "the script"
assert_released "$PID_script"
kill -TERM "$PID_script"
wait "$PID_script"
assert_eq "$(tail -n 1 "$T/script.log")" "end True"
! grep -E 'Traceback|Error' "$T/script.log" || fail "the script failed"

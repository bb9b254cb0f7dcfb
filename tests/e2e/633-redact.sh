#!/bin/bash
# SPDX-License-Identifier: MIT
# --redact: what matches is nowhere in the recording, which says that it is not what has happened, and is never VERIFIED;
# where nothing matches it is.
# shellcheck source-path=SCRIPTDIR source=100-common.sh disable=SC2154,SC2119,SC2016
source "$(dirname "$0")/100-common.sh"

# Everything that is stored, uncompressed: events, pages of snapshots, files, the manifest.
stored() { # DIR
	"$CTBPF" dump --json "$1"
	find "$1" -type f -exec cat {} +
}
nowhere() { # DIR TEXT...
	local dir=$1 text hex
	shift
	stored "$dir" >"$T/stored"
	for text; do
		hex=$(printf %s "$text" | od -An -v -tx1 | tr -d ' \n')
		if grep -qaF -e "$text" "$T/stored" || grep -qaiF -e "$hex" "$T/stored"; then fail "'$text' is in $dir"; fi
	done
}
cat >"$T/secret.py" <<'PY'
import os, sys
name = "tok" + "en"
for i in range(30):
    line = "%s=%s\n" % (name, "A1b2C3d4" * 2)
    with open("out", "w") as f: # read back: an out-buffer
        f.write(line)
    with open("out") as f:
        kept = f.read()
    sys.stdout.write(kept)
    sys.stdout.flush()
print(os.environ["MY_PASSWORD"][::1])
PY
secret=A1b2C3d4A1b2C3d4 # of which no program text has more than half
cd "$T" || exit 1

step "buffers, pages, environment"
export MY_PASSWORD=zugspitze-2962
assert_status 0 "$CTBPF" record --compress none -o "$T/a.ctr" --redact 'token=\K[A-Za-z0-9]+' --redact 'A1b2C3d4A1b2C3d4' \
	--redact-env '*PASSWORD' -- /usr/bin/python3 "$T/secret.py"
assert_contains "$OUT" "--redact has overwritten bytes"
nowhere "$T/a.ctr" "$secret" zugspitze-2962
"$CTBPF" dump "$T/a.ctr" >"$T/dump"
assert_contains "$(cat "$T/dump")" 'token=****************'
assert_eq "$(info "$T/a.ctr" replayable)" false
assert_matches "$(info "$T/a.ctr" replayable_reason)" 'bytes are missing'
assert_status 5 "$CTBPF" verify "$T/a.ctr"
[[ $OUT != *": VERIFIED"* ]] || fail "verified"
json verify.verdict <"$T/a.ctr/manifest.json"
# The same without rules has it all: what was looked for can be found.
assert_status 0 "$CTBPF" record -q --compress none -o "$T/b.ctr" -- /usr/bin/python3 "$T/secret.py"
stored "$T/b.ctr" >"$T/stored"
assert grep -qaF "$secret" "$T/stored"
assert grep -qaF zugspitze-2962 "$T/stored"

step "the same, replayed: REDACTED, if it goes the same way"
assert_status 0 "$CTBPF" record -q -o "$T/c.ctr" --redact-env MY_PASSWORD -- /bin/true
assert_status 5 "$CTBPF" verify "$T/c.ctr"
assert_contains "$OUT" "REDACTED"

step "nothing matches: a recording like any other"
assert_status 0 "$CTBPF" record -q -o "$T/d.ctr" --redact 'no such thing anywhere [0-9]{77}' -- /bin/true
assert_eq "$(info "$T/d.ctr" replayable)" true
assert_status 0 "$CTBPF" verify "$T/d.ctr"

step "attached, with threads; events only"
EINTR='[0-9]+'
start_answers answers 2
assert_status 0 "$CTBPF" record -q --compress none -p "$PID_answers" -d 1 -o "$T/e.ctr" --redact-env 'MY_*' --redact 'tick'
nowhere "$T/e.ctr" zugspitze-2962
answers_well
answers_end
assert_status 0 "$CTBPF" record -q --compress none --no-replay --redact "$secret" -o "$T/f.ctr" -- /usr/bin/python3 "$T/secret.py"
nowhere "$T/f.ctr" "$secret"

step "what makes no sense"
assert_status 2 "$CTBPF" record --redact '(' -o "$T/g.ctr" -- true
assert_status 2 "$CTBPF" record --redact-env 'A-B' -o "$T/g.ctr" -- true
assert_status 2 "$CTBPF" record --redact x --verify -- true
[ ! -e "$T/g.ctr" ] || fail "a directory is left"

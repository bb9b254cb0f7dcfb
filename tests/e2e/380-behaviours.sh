#!/bin/bash
# SPDX-License-Identifier: MIT
# One small program per behaviour (tests/programs/behave): each is recorded, and the recording verified.
# alone: two programs at a time are enough for two CPUs
# timeout: 600
#
# A program whose first comments say "not replayable: REASON" must be recorded as such, with that reason, and must not be
# verified. ONLY='PATTERN' limits the run to some programs; one line a family is printed at the end.
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "$0")/lib.sh"

SOURCES=$PWD/tests/programs/behave
ulimit -c 0

# Prints nothing if all is well, else what is wrong. A child of its own: the traps of lib.sh are not for it.
judge() { # NAME
	local name=$1 dir=$T/$1 out rc=0 info reason
	mkdir "$dir" "$dir/work"
	reason=$(sed -n '1,5s|.*not replayable: *\(.*[^ ]\) *\*/.*|\1|p' "$SOURCES/$name.c")
	out=$(cd "$dir/work" && timeout -s INT -k 5 40 "$CTBPF" record -q -o "$dir/ctr" -- "$PROGRAMS/behave/$name" 2>&1 </dev/null) || rc=$?
	if [ $rc != 0 ]; then
		echo "recording ends with status $rc: $(tail -n 3 <<<"$out")"
		return
	fi
	info=$("$CTBPF" info "$dir/ctr" 2>&1) || true
	out=$(timeout -k 5 60 "$CTBPF" verify "$dir/ctr" 2>&1) || rc=$?
	if [ -n "$reason" ]; then
		grep -qE "not replayable.*$reason" <<<"$info" || echo "should not be replayable ($reason): $(head -n 1 <<<"$info")"
		if [ $rc = 0 ]; then echo "verified, although it cannot be: $(tail -n 1 <<<"$out")"; fi
		return
	fi
	grep -q "complete, replayable" <<<"$info" || head -n 1 <<<"$info"
	if [ $rc != 0 ] || [[ $out != *VERIFIED* ]]; then echo "verify ends with status $rc: $(grep -m 1 ^stretch <<<"$out" || tail -n 3 <<<"$out")"; fi
}

one() { # NAME
	trap - ERR EXIT
	set +e
	judge "$1" >"$T/$1.wrong" 2>&1 </dev/null
	if [ -f "$T/$1.wrong" ] && [ ! -s "$T/$1.wrong" ]; then
		touch "$T/$1.good"
		rm -rf "${T:?}/$1"
	fi
}

names=()
for source in "$SOURCES"/*.c; do
	name=$(basename "$source" .c)
	# shellcheck disable=SC2254 # a pattern is wanted
	case $name in ${ONLY-*}) names+=("$name") ;; esac
done

# Two at a time: one is recorded while another is replayed.
running=0
for name in "${names[@]}"; do
	if [ $running = 2 ]; then
		wait -n || true
		running=1
	fi
	one "$name" &
	running=$((running + 1))
done
wait

declare -A good=() all=()
wrong=0
for name in "${names[@]}"; do
	family=${name%%-*}
	all[$family]=$((${all[$family]-0} + 1))
	if [ -e "$T/$name.good" ]; then
		good[$family]=$((${good[$family]-0} + 1))
	else
		wrong=$((wrong + 1))
		sed "s/^/$name: /" "$T/$name.wrong" || echo "$name: not judged"
	fi
done
line=
for family in $(printf '%s\n' "${!all[@]}" | sort); do line+="$family ${good[$family]-0}/${all[$family]}  "; done
echo "$line"
[ $wrong = 0 ] || fail "$wrong of ${#names[@]} programs"

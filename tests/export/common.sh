# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the tests of `ctbpf export` share: recordings, and an independent reader of each format. Sourced, not run.
# shellcheck source-path=SCRIPTDIR/../e2e source=../e2e/100-common.sh disable=SC2154
source "$(dirname "${BASH_SOURCE[0]}")/../e2e/100-common.sh"

PYTHON=${PYTHON:-/usr/bin/python3.11}
need "$PYTHON" protoc protoc-c gcc zcat
/usr/bin/python3 -c 'import google.protobuf, jsonschema' || fail "needs python3-protobuf and python3-jsonschema: run scripts/setup"
EXPORT=$PWD/tests/export
mkdir "$T/pb"
protoc --python_out="$T/pb" -I "$EXPORT" "$EXPORT"/*.proto
protoc-c --c_out="$T/pb" -I "$EXPORT" "$EXPORT"/*.proto
gcc -I"$T/pb" -o "$T/pb/decode" "$EXPORT/decode.c" "$T"/pb/*.pb-c.c -lprotobuf-c

record_python() { # NAME PROGRAM: $T/NAME.ctr, verified
	assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -o "$T/$1.ctr" -- "$PYTHON" "$2"
	assert_status 0 "$CTBPF" verify "$T/$1.ctr"
}
index() { # NAME PROGRAM: with a step database of the program's own lines
	assert_status 0 "$CTBPF" index --files "$2" "$T/$1.ctr"
}
check() { # FORMAT EXPORT RECORDING [lines|log]
	PB=$T/pb CTBPF=$CTBPF /usr/bin/python3 "$EXPORT/check.py" "$@" || fail "$1: see above"
	case $1 in
	perfetto) decoded perfetto "$2" cat ;;
	pprof) decoded profile "$2" zcat ;;
	esac
}
# Two readers, made from the same schema by protobuf-c and by Google's compiler, see the same.
decoded() { # SCHEMA EXPORT READ
	$3 <"$2" | "$T/pb/decode" "$1" >"$T/by.c" || fail "protobuf-c cannot read $2"
	$3 <"$2" | PYTHONPATH=$T/pb /usr/bin/python3 "$EXPORT/text.py" "$1" >"$T/by.python"
	[ -s "$T/by.c" ] || fail "there is nothing in $2"
	cmp "$T/by.c" "$T/by.python" || fail "$2 is not the same to two readers"
}
export_to() { # FORMAT OUTPUT RECORDING [OPTION...]: and nothing is left beside it
	local format=$1 output=$2 recording=$3
	shift 3
	assert_status 0 "$CTBPF" export -f "$format" -o "$output" "$@" "$recording"
	assert_no_rest "$(dirname "$output")"
}
assert_no_rest() { # DIRECTORY
	local rest
	rest=$(find "$1" -maxdepth 1 -name '.ctbpf-export-*')
	assert_eq "$rest" "" "what is left of exports"
}

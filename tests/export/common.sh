# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the tests of `ctbpf export` share: recordings, and an independent reader of each format. Sourced, not run.
# shellcheck source-path=SCRIPTDIR/../e2e source=../e2e/100-common.sh disable=SC2154
source "$(dirname "${BASH_SOURCE[0]}")/../e2e/100-common.sh"

PYTHON=${PYTHON:-/usr/bin/python3.11}
need "$PYTHON" protoc
/usr/bin/python3 -c 'import google.protobuf, jsonschema' || fail "needs python3-protobuf and python3-jsonschema: run scripts/setup"
EXPORT=$PWD/tests/export
mkdir "$T/pb"
protoc -I "$EXPORT" --python_out="$T/pb" "$EXPORT/perfetto.proto" "$EXPORT/profile.proto"

record_python() { # NAME PROGRAM: $T/NAME.ctr, verified
	assert_status 0 timeout -s INT -k 5 60 "$CTBPF" record -q -o "$T/$1.ctr" -- "$PYTHON" "$2"
	assert_status 0 "$CTBPF" verify "$T/$1.ctr"
}
index() { # NAME PROGRAM: with a step database of the program's own lines
	assert_status 0 "$CTBPF" index --files "$2" "$T/$1.ctr"
}
check() { # FORMAT EXPORT RECORDING [lines|log]
	PB=$T/pb CTBPF=$CTBPF /usr/bin/python3 "$EXPORT/check.py" "$@" || fail "$1: see above"
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

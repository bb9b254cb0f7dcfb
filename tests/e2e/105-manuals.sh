#!/bin/bash
# SPDX-License-Identifier: MIT
# Each command has a manual page, and the page tells of the options that --help tells of, no less and no more.
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "$0")/lib.sh"

# The options at the beginning of an indented line, up to the two blanks in front of what it says about them.
in_help() { # COMMAND
	"$CTBPF" "$1" --help | sed -nE 's/^ {1,6}(-.*)/\1/p' | sed 's/  .*//' | grep -oE '(^|[ ,])--?[A-Za-z][-a-z0-9]*' | tr -d ' ,' | sort -u
}
# Those of .It lines: "Fl p , -pid Ar pid" is -p and --pid. A page that is another one (.so) is looked up there.
in_page() { # COMMAND
	local other
	other=$(sed -n 's/^\.so man1\///p' "docs/man/ctbpf-$1.1")
	awk '$1 == ".It" && $2 == "Fl" {
		option = 0
		for (i = 2; i <= NF; i++)
			if ($i == "Fl") option = 1
			else if ($i ~ /^[A-Z][a-z]$/) option = 0
			else if (option && $i ~ /^-?[A-Za-z]/) print "-" $i
	}' "docs/man/${other:-ctbpf-$1.1}" | sort -u
}

step "each command has a page, each page a command"
commands=$("$CTBPF" --help | awk '/^commands:/ { on = 1; next } !NF { on = 0 } on { print $1 }' | sort)
assert_eq "$commands" "$(printf '%s\n' docs/man/ctbpf-*.1 | sed 's|.*/ctbpf-\(.*\)\.1|\1|' | sort)" "commands, and pages"

for c in $commands; do
	step "$c"
	options=$(in_help "$c")
	assert_contains "$options" --help
	assert_eq "$(in_page "$c")" "$options" "options of the page of $c"
	assert_status 0 "$CTBPF" "$c" -h
	assert_status 2 "$CTBPF" "$c" --no-such-option
done

#!/bin/bash
# SPDX-License-Identifier: MIT
# Lines, calls, exceptions and values as sys.settrace has them, and attaching in mid-run, before CPython 3.11: with 3.9, and
# with 3.8 and 3.10 where they are installed.
# timeout: 1200
set -euo pipefail
cd "$(dirname "$0")"
for version in 3.9 3.8 3.10; do
	PYTHON=$(../../scripts/interpreter python $version) || { [ $version != 3.9 ] && continue; }
	export PYTHON
	"$PYTHON" -V
	./510-python-steps.sh
	./511-python-attached.sh
done

#!/bin/bash
# SPDX-License-Identifier: MIT
# Lines, calls, exceptions and values as sys.settrace has them, and attaching in mid-run, with CPython 3.13, and with 3.12
# where it is installed.
# timeout: 1800
set -euo pipefail
cd "$(dirname "$0")"
for version in 3.13 3.12; do
	PYTHON=$(../../scripts/interpreter python $version) || { [ $version != 3.13 ] && continue; }
	export PYTHON
	./510-python-steps.sh
	./511-python-attached.sh
done

#!/bin/bash
# SPDX-License-Identifier: MIT
# Lines, calls, exceptions and values as sys.settrace has them, and attaching in mid-run, with CPython 3.13.
# timeout: 900
set -euo pipefail
cd "$(dirname "$0")"
PYTHON=$(../../scripts/interpreter python 3.13)
export PYTHON
./510-python-steps.sh
./511-python-attached.sh

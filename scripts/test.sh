#!/usr/bin/env bash
# Set everything up and pass the tests. Arguments go to pytest; CYCLESTYLE_ASSETS adds tests on real pictures.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh scripts/requirements-dev.txt
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" # the tests' tensors are tiny: threads would only wait for each other
python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@" # side by side, each file in one process

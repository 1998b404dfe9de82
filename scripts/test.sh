#!/usr/bin/env bash
# Set everything up and pass the tests. Arguments go to pytest; CYCLESTYLE_ASSETS adds tests on real pictures.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh scripts/requirements-dev.txt
python -m pytest "$@"

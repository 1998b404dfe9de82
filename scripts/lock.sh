#!/usr/bin/env bash
# Pin everything anew: hashed requirements for every platform and Python from 3.11 on, without index addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade "$@"
}
compile --extra kaggle --extra onnx --extra video --extra build --output-file scripts/requirements.txt pyproject.toml
compile --extra kaggle --extra onnx --extra video --extra build --extra dev --constraint scripts/requirements.txt \
    --output-file scripts/requirements-dev.txt pyproject.toml
echo uv | compile --output-file scripts/requirements-uv.txt -

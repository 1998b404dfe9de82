#!/usr/bin/env bash
# What only a GPU can tell, in parts: bash scripts/benchmarks/on_gpu.sh PART [FOLDER]
#   tests               those that need a GPU (a minute or two)
#   step                the training step: eager, in bf16, as a CUDA graph, compiled; one pair and 16
#   painting FOLDER     photos without files, precisions, memory layouts; then a folder to files
#   measuring           Inception, all that `evaluate` computes, Gatys' objective, optimisers
#   training FOLDER     25 minutes at 256 px on a data set (`trainA`, `trainB`, `testA`, `testB`), then its numbers
# Tables go to the standard output; each says the hardware. Run `bash scripts/demo.sh` first, or make an environment.
set -euo pipefail
self="$(realpath "$0")"
if [ -n "${2:-}" ]; then set -- "$1" "$(realpath -m "$2")"; fi
cd "$(dirname "$self")/../.."
if [ -f .venv/bin/activate ]; then . .venv/bin/activate; fi

need_folder() {
    if [ ! -d "${1:-}" ]; then
        echo "give a folder: bash scripts/benchmarks/on_gpu.sh $part FOLDER (got '${1:-}')" >&2
        exit 2
    fi
}

step() { python scripts/benchmarks/step.py --side 256 --width 64 "$@"; }

part="${1:-}"
case "$part" in
tests) python -m pytest -q -m gpu ;;
step)
    step --rounds 10 --gradients --ways ours "ours, apart" graph bf16 "bf16, graph"
    step --rounds 10 --ways "bf16, compiled" "bf16, compiled, graph"
    step --rounds 5 --batch 16 --no-memory --ways bf16 "bf16, graph"
    ;;
painting)
    need_folder "${2:-}"
    python scripts/benchmarks/painting.py --photos "$2" --count 64 --rounds 5 --only throughput --only layouts --only rounded
    python scripts/benchmarks/painting.py --photos "$2" --count 500 --rounds 2 --only files
    ;;
measuring) python scripts/benchmarks/measuring.py --bf16 --compile --rounds 5 ;;
training)
    need_folder "${2:-}"
    run=runs/on-gpu
    cyclestyle train --config configs/monet.toml --run "$run" --data.folder "$2" --compute.graph --schedule.budget 25m
    cyclestyle translate "$run" "$2/testB" --to "$run/painted"
    cyclestyle evaluate --painted "$run/painted" --photos "$2/testB" --paintings "$2/testA" --to "$run/card"
    ;;
*)
    sed -n '2,8p' "$self" | sed 's/^# \{0,1\}//' >&2
    exit 2
    ;;
esac

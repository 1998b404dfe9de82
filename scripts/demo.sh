#!/usr/bin/env bash
# The main job on embedded data: make the pictures, train a painter, paint, build a practice submission, measure.
# Needs Python 3.11+ and, the first time, a package index. No account, no weights, no GPU. About five minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh scripts/requirements.txt

say() { printf '\n== %s\n' "$*"; }

say "1/5 Drawing landscapes, as photos and as paintings (no two alike, except in the test set)"
cyclestyle synthesize --to data/scenes

say "2/5 Training a painter from the two unpaired sets"
cyclestyle train --config configs/demo.toml

say "3/5 Painting the test photos"
cyclestyle translate runs/demo data/scenes/test/photos --to runs/demo/painted

say "4/5 Building a practice submission and checking it"
cyclestyle submit runs/demo --photos data/scenes/test/photos --to runs/demo/images.zip --practice
cyclestyle submit --validate runs/demo/images.zip --practice

say "5/5 Measuring: a card, with a random network since nothing is downloaded, and the distances to the true paintings"
cyclestyle evaluate --painted runs/demo/painted --photos data/scenes/test/photos --truth data/scenes/test/paintings \
    --paintings data/scenes/paintings --run runs/demo --to runs/demo/evaluation --random-weights --at-most 300

say "Done. A twin of this painter, trained as long on pairs, is the ceiling: scripts/benchmarks/results/scenes.md"

#!/usr/bin/env bash
# From nothing to an answer: installs what is missing, builds Shoal, fetches a small model, and answers
# a prompt by a coordinator and three node processes on this machine, each with a third of the layers.
# usage: tools/quickstart.sh [PROMPT]
set -euo pipefail
cd "$(dirname "$0")/.."

prompt=${1:-"Explain in two sentences why ships made of steel can float."}

echo "==> 1/4 Debian packages"
tools/install_deps.sh build
echo "==> 2/4 building (several minutes the first time)"
cmake --preset release -DSHOAL_TESTS=OFF >build-quickstart.log 2>&1 ||
  { cat build-quickstart.log; exit 1; }
rm -f build-quickstart.log
ninja -C build/release shoal
echo "==> 3/4 model"
model=$(tools/fetch_model.sh)
echo "==> 4/4 three nodes answer: $prompt"
build/release/tools/shoal run "$model" "$prompt" --local-nodes 3 --max-tokens 120 \
  --temperature 0.2 --seed 1 --stages

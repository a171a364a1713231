#!/usr/bin/env bash
# Builds Shoal and runs every test: unit, cluster (real processes), fuzz replays, the OpenAI client.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "==> 1/5 Debian packages"
tools/install_deps.sh all
echo "==> 2/5 model"
SHOAL_TEST_MODEL=$(tools/fetch_model.sh)
export SHOAL_TEST_MODEL SHOAL_REQUIRE_MODEL=1
echo "==> 3/5 building"
cmake --preset release -DSHOAL_TESTS=ON
ninja -C build/release
echo "==> 4/5 the openai Python package, in a virtual environment for the tests alone"
if [ ! -x build/venv/bin/python ]; then
  python3 -m venv build/venv
  build/venv/bin/pip install --quiet --disable-pip-version-check "openai>=1.50,<3"
fi
export SHOAL_TEST_PYTHON=$PWD/build/venv/bin/python
echo "==> 5/5 tests"
ctest --test-dir build/release --output-on-failure -j "$(nproc)" "$@"

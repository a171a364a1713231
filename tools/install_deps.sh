#!/usr/bin/env bash
# Installs the Debian 12 packages that Shoal is built, tested and checked with.
# usage: tools/install_deps.sh [build|all]    build: to build and run; all (default): tests and checks too
set -euo pipefail

build=(cmake ninja-build g++ pkg-config libgrpc++-dev libprotobuf-dev protobuf-compiler
       protobuf-compiler-grpc libboost-dev libboost-system-dev libssl-dev libpcre2-dev nlohmann-json3-dev
       libcli11-dev libspdlog-dev libfmt-dev python3 python3-pip unzip ca-certificates)
checks=(libgtest-dev libgmock-dev librapidcheck-dev libsimde-dev libbenchmark-dev xz-utils clang-format-14 python3-venv)

wanted=("${build[@]}")
[ "${1:-all}" = build ] || wanted+=("${checks[@]}")
missing=()
for package in "${wanted[@]}"; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "    all ${#wanted[@]} Debian packages are installed"
  exit 0
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "error: not root and no sudo; install as root: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "    installing ${#missing[@]} Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null

#!/usr/bin/env bash
# Installs the Debian 12 packages that Shoal is built, tested and checked with.
# usage: tools/install_deps.sh [build|all|aarch64]    (default: all)
#   build    to build and run
#   all      and to test and check
#   aarch64  and to cross-build for AArch64 and test under QEMU; adds arm64 as a foreign architecture
set -euo pipefail

build=(cmake ninja-build g++ pkg-config libgrpc++-dev libabsl-dev libprotobuf-dev protobuf-compiler
       protobuf-compiler-grpc libboost-dev libboost-system-dev libssl-dev libpcre2-dev nlohmann-json3-dev
       libcli11-dev libcurl4-openssl-dev libzstd-dev libspdlog-dev libfmt-dev libtomlplusplus-dev libsystemd-dev libqrencode-dev
       python3 python3-pip unzip ca-certificates)
checks=(libgtest-dev libgmock-dev librapidcheck-dev libsimde-dev libbenchmark-dev libopenblas-dev xz-utils file dpkg-dev clang-format-14 python3-venv)

cross=(g++-12-aarch64-linux-gnu qemu-user libgrpc++-dev:arm64 libprotobuf-dev:arm64 libboost-dev:arm64
       libssl-dev:arm64 libpcre2-dev:arm64 libzstd-dev:arm64 libspdlog-dev:arm64 libfmt-dev:arm64 libqrencode-dev:arm64 libgtest-dev:arm64
       libgmock-dev:arm64 librapidcheck-dev:arm64)

case "${1:-all}" in
  build) wanted=("${build[@]}") ;;
  all) wanted=("${build[@]}" "${checks[@]}") ;;
  aarch64) wanted=("${build[@]}" "${checks[@]}" "${cross[@]}") ;;
  *) echo "usage: $0 [build|all|aarch64]" >&2; exit 2 ;;
esac

# is_installed PACKAGE[:ARCHITECTURE]
is_installed() {
  local architecture
  architecture=$(dpkg --print-architecture)
  [[ $1 == *:* ]] && architecture=${1#*:}
  dpkg-query -W -f '${Architecture} ${db:Status-Status}\n' "$1" 2>/dev/null |
    grep -qE "^(all|$architecture) installed$"
}

missing=()
for package in "${wanted[@]}"; do
  is_installed "$package" || missing+=("$package")
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
[ "${1:-all}" != aarch64 ] || "${as_root[@]}" dpkg --add-architecture arm64
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null

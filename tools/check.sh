#!/usr/bin/env bash
# The checks that every change passes: format, layering, headers that compile alone, asan+ubsan and
# tsan runs of the tests, and the README's commands.
# Or, where `tools/install_deps.sh aarch64` ran: the arithmetic's tests, built for AArch64, under QEMU.
# usage: tools/check.sh [format] [layers] [headers] [deb] [asan] [tsan] [readme] [aarch64]
#        (default: all but aarch64)
set -euo pipefail
cd "$(dirname "$0")/.."

steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=(format layers headers deb asan tsan readme)

sources() { git ls-files '*.h' '*.cc'; }

check_format() { sources | xargs clang-format-14 --dry-run -Werror; }

check_layers() { python3 tools/check_layers.py; }

# Each header on its own, with the flags of a source file of the tree.
check_headers() {
  cmake --preset release >/dev/null
  ninja -C build/release shoal_proto >/dev/null
  sources | grep '\.h$' | xargs -P "$(nproc)" -I{} \
    g++ -std=c++20 -fsyntax-only -Wall -Wextra -I. -Ibuild/release -include {} -x c++ /dev/null
}

sanitize() {  # sanitize PRESET CTEST-ARGUMENTS...
  cmake --preset "$1" >/dev/null
  ninja -C "build/$1"
  # One more than there are cores: tests of processes wait for much of their time.
  ctest --test-dir "build/$1" --output-on-failure -j "$(($(nproc) + 1))" "${@:2}"
}

check_asan() {
  export SHOAL_TEST_MODEL ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
  SHOAL_TEST_MODEL=$(tools/fetch_model.sh)
  sanitize asan -L 'unit|cluster|fuzz' -LE slow
}

check_tsan() { sanitize tsan -LE 'grpc|slow'; }

# All that decides a logit's bits, with every instruction set (golden_test, whose logits
# logits_hash_test holds to the same bits, takes too long in an emulator); and the choice of one on a
# CPU that has the least.
check_aarch64() {
  local tests=(isa_test portable_math_test quant_formats_test matmul_isa_test vector_ops_isa_test
               attention_isa_test logits_hash_test)
  cmake --preset aarch64 >/dev/null
  ninja -C build/aarch64 "${tests[@]}"
  ctest --test-dir build/aarch64 --output-on-failure -j "$(nproc)" \
    -R "^($(IFS='|' && echo "${tests[*]}"))$"
  qemu-aarch64 -cpu cortex-a53 build/aarch64/tests/kernels/isa_test
}

# The Debian package of the release build: what is in it, and, as root, that it installs, runs from its
# place and leaves.
check_deb() {
  cmake --preset release >/dev/null
  ninja -C build/release shoal shoal_share >/dev/null
  rm -f build/release/shoal_*.deb
  (cd build/release && cpack -G DEB >/dev/null)
  local package root
  package=$(echo build/release/shoal_*.deb)
  root=$(mktemp -d)
  dpkg-deb --extract "$package" "$root"
  local name
  for name in bin/shoal lib/systemd/system/shoal-{node,serve}.service share/man/man1/shoal{,-serve}.1 \
              share/bash-completion/completions/shoal share/zsh/vendor-completions/_shoal \
              share/fish/vendor_completions.d/shoal.fish share/doc/shoal/examples/clusters/office.toml; do
    [ -f "$root/usr/$name" ] || { echo "error: $package has no $name" >&2; return 1; }
  done
  rm -r "$root"
  dpkg-deb --field "$package" Depends | grep -q 'libgrpc++' ||
    { echo "error: $package does not depend on gRPC" >&2; return 1; }
  if [ "$(id -u)" != 0 ]; then
    echo "    not root: $package is not installed"
    return
  fi
  dpkg --install "$package" >/dev/null
  (cd / && /usr/bin/shoal --version && /usr/bin/shoal inspect "$OLDPWD/tests/data/tiny-models/tiny-qwen2.gguf" >/dev/null)
  id -u shoal >/dev/null
  dpkg --purge shoal >/dev/null
  [ ! -e /usr/bin/shoal ]
}

# Every command of the README's `sh` blocks but the test command, which is the caller's own. (Blocks
# marked `console` run until they are interrupted, or need other machines.)
check_readme() {
  mkdir -p build
  awk '/^```sh/ {inside = 1; next} /^```/ {inside = 0} inside' README.md |
    grep -v '^tools/test.sh' >build/readme-commands.sh
  echo "    commands:" && sed 's/^/      /' build/readme-commands.sh
  bash -euo pipefail build/readme-commands.sh </dev/null
}

for step in "${steps[@]}"; do
  echo "==> check: $step"
  begin=$SECONDS
  "check_$step"
  echo "    $step took $((SECONDS - begin)) s"
done
echo "==> all checks passed: ${steps[*]}"

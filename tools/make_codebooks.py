#!/usr/bin/env python3
"""Writes kernels/codebooks.h, the codebooks of the IQ formats, from the gguf Python package.

usage: tools/make_codebooks.py > kernels/codebooks.h    (needs: pip install gguf)

Each codebook entry is 8 or 4 values out of a few; an entry is stored as their numbers, 2 or 3 bits
each, the first value lowest.
"""
import gguf.quants as quants

HEADER = """\
// The codebooks of the IQ formats: facts about them, written by tools/make_codebooks.py from the
// gguf Python package (gguf/quants.py). An entry has the numbers of its 8 or 4 values, 2 or 3 bits
// each, the first value lowest; codebook_blocks.cc has the values that they number.
#pragma once

#include <array>
#include <cstdint>

namespace shoal::kernels {
"""

BOOKS = [
    ("kIq2XxsBook", quants.IQ2_XXS, 2),
    ("kIq2XsBook", quants.IQ2_XS, 2),
    ("kIq2SBook", quants.IQ2_S, 2),
    ("kIq3XxsBook", quants.IQ3_XXS, 3),
    ("kIq3SBook", quants.IQ3_S, 3),
    ("kIq1Book", quants.IQ1_S, 2),
]
PER_LINE = 12


def entries(kind, bits):
    kind.init_grid()
    rows = kind.grid.reshape(kind.grid_shape).astype(int).tolist()
    return [sum(kind.grid_map.index(v) << (bits * i) for i, v in enumerate(row)) for row in rows]


def main():
    print(HEADER)
    for name, kind, bits in BOOKS:
        book = entries(kind, bits)
        print(f"inline constexpr std::array<uint16_t, {len(book)}> {name} = {{")
        for at in range(0, len(book), PER_LINE):
            print("    " + ", ".join(f"0x{e:04x}" for e in book[at:at + PER_LINE]) + ",")
        print("};\n")
    print("}  // namespace shoal::kernels")


if __name__ == "__main__":
    main()

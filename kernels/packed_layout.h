// The layout in which the x86-64 kernels read weight matrices: rows in groups of kRowUnit, so that
// each vector lane is a row and a vector load takes the same k of all rows of the group.
//
// A group holds, one after another for each block of 32 k (Q types) or for each k (F types):
//   Q4_0  f16 d[16], u8 q[4][16][4]               q[g][r][i]: row r, low nibble k = 4 g + i,
//   Q4_1  f16 d[16], f16 m[16], u8 q[4][16][4]    high nibble k = 4 g + i + 16
//   Q8_0  f16 d[16], i8 q[8][16][4]               q[g][r][i]: row r, k = 4 g + i
//   F32   f32 w[16]
//   F16   f16 w[16]
//   BF16  bf16 w[16]
// Rows beyond the matrix in its last group are all zero bits.
//
// Portable: nothing here needs the instruction set that reads the result.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"

namespace shoal::kernels {

// Bytes of one group of a matrix with `cols` columns; 0 for a type that has no packed layout.
int64_t PackedGroupBytes(TensorType type, int64_t cols);

// KernelTable::packed_bytes and KernelTable::pack of every table that uses this layout.
// PackRowGroups REQUIRES from.type to have a packed layout.
int64_t PackedMatrixBytes(TensorType type, int64_t rows, int64_t cols);
void PackRowGroups(const WeightMatrix& from, int64_t row_begin, int64_t row_end, std::byte* to);

// The activations without the first `tokens` tokens, of a type that is packed.
Activations SkipTokens(const Activations& x, int64_t tokens, int64_t cols);

// Whether a packed type's activations are f32 (else int8 in blocks of 32).
constexpr bool ActivationsAreFloats(TensorType type) {
  return type == TensorType::kF32 || type == TensorType::kF16 || type == TensorType::kBF16;
}

}  // namespace shoal::kernels

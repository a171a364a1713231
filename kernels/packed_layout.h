// The layout in which vector kernels read weight matrices: rows in groups of kRowUnit, so that each
// vector lane is a row and a vector load takes the same k of all rows of the group.
//
// A group is one record for each block (of 32 or 256 k; of one k for F32, F16, BF16). A record is
// the blocks of its 16 rows as they lie in GGUF, interleaved in units of 1, 2 or 4 bytes: what lies
// at byte `at` of a block lies at 16 at + r unit_bytes of the record for row r. So
//   Q4_0, IQ4_NL  f16 d[16], u8 q[4][16][4]             q[g][r][i]: row r, low nibble k = 4 g + i,
//                                                       high nibble k = 4 g + i + 16
//   MXFP4         u8 exponent[16], u8 q[4][16][4]
//   Q4_1          f16 d[16], f16 m[16], u8 q[4][16][4]
//   Q5_0          f16 d[16], u8 high[16][4], u8 q[4][16][4]       high[r]: 32 bits, bit k
//   Q5_1          f16 d[16], f16 m[16], u8 high[16][4], u8 q[4][16][4]
//   Q8_0          f16 d[16], i8 q[8][16][4]             q[g][r][i]: row r, k = 4 g + i
//   Q2_K          u8 scales[4][16][4], u8 q[16][16][4], f16 d[16], f16 dmin[16]
//   Q3_K          u8 high[8][16][4], u8 q[16][16][4], u8 scales[3][16][4], f16 d[16]
//   Q4_K          f16 d[16], f16 dmin[16], u8 scales[3][16][4], u8 q[32][16][4]
//   Q5_K          f16 d[16], f16 dmin[16], u8 scales[3][16][4], u8 high[8][16][4], u8 q[32][16][4]
//   Q6_K          u8 q[32][16][4], u8 high[16][16][4], i8 scales[4][16][4], f16 d[16]
//   IQ4_XS        f16 d[16], u16 scales_high[16], u8 scales_low[16][4], u8 q[32][16][4]
//   TQ2_0         u8 q[16][16][4], f16 d[16]
//   F32           f32 w[16]
//   F16           f16 w[16]
//   BF16          bf16 w[16]
// with the bits of each byte as in GGUF (kernels/quant_blocks.cc says how). Of Q4_K and Q5_K,
// scales[0][r] are the bytes of sub-blocks 0 to 3 of row r: one vector operation unpacks four
// sub-blocks of all rows, and one byte shuffle then spreads one of them over the lanes.
// Rows beyond the matrix in its last group are all zero bits.
//
// The types that are rare in files (IQ1 to IQ3, TQ1_0) have no packed layout: they stay as they are
// and are unpacked group by group into UnpackedRecords, once for many tokens.
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

// One block of 256 k of the 16 rows of a group as plain integers (kernels/quant_blocks.h), laid out
// like the packed types'.
struct UnpackedRecord {
  alignas(64) int8_t quants[64][kRowUnit][4];  // row r, k = 4 g + i
  int8_t scales[4][kRowUnit][4];               // row r, sub-block of 16 k number 4 g + i
  float scale[kRowUnit];
};

// Unpacks block `block` of rows [first, first + kRowUnit) of a row-major matrix of a type with
// 256-value blocks and no minimums. Rows beyond the matrix become zero.
void UnpackGroup(const WeightMatrix& from, int64_t first, int64_t block, UnpackedRecord& to);

// The activations without the first `tokens` tokens, of a type that is packed.
Activations SkipTokens(const Activations& x, int64_t tokens, int64_t cols);

// Whether a packed type's activations are f32 (else int8).
constexpr bool ActivationsAreFloats(TensorType type) {
  return type == TensorType::kF32 || type == TensorType::kF16 || type == TensorType::kBF16;
}

}  // namespace shoal::kernels

// The part of vectorised attention that has no vectors: which query heads go through which pages
// together. A row is one query head of one token. Rows go through the pages in tiles, so that a
// page comes from memory once for the whole tile; within a tile, rows that see the same keys of a
// page take it in groups of up to kMaxGroupRows. How rows are grouped never changes their bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"

namespace shoal::kernels {

// With two registers of columns, a product of six rows has 12 accumulators: enough to hide the
// latency of fma, and they still fit 16 registers.
constexpr int32_t kMaxGroupRows = 6;
constexpr int32_t kMaxTileRows = 48;
constexpr int32_t kMaxTileFloats = 12 * kMaxHeadDim;  // two arrays of it stay in the L2 cache
constexpr int32_t kTileAlignment = 16;                // floats; no instruction set has more lanes

// Rows on their way through the pages.
struct AttentionTile {
  alignas(64) float q[kMaxTileFloats];  // [rows, stride]  scaled
  alignas(64) float o[kMaxTileFloats];  // [rows, stride]  values so far
  float max[kMaxTileRows];
  float sum[kMaxTileRows];
  int32_t stride;  // head_dim rounded up to kTileAlignment
};

// One page of one kv head: uint16_t halves, or floats (kQ8_0 comes unpacked to floats).
struct AttentionPage {
  const std::byte* k;  // [head_dim, kKvPageTokens]
  const std::byte* v;  // [kKvPageTokens, head_dim]
  int32_t head_dim;
  int32_t first;    // the rows see the keys [first, visible), at least one
  int32_t visible;  // at most kKvPageTokens
  float softcap;    // of the scores; 0: none
};

// A kQ8_0 page of one kv head as floats.
struct UnpackedPage {
  alignas(64) float k[kMaxHeadDim * kKvPageTokens];  // [head_dim, kKvPageTokens]
  alignas(64) float v[kMaxHeadDim * kKvPageTokens];  // [kKvPageTokens, head_dim]
};

// What an instruction set brings.
struct AttentionSteps {
  // Takes a page into rows [row, row + rows) of a tile, 1 <= rows <= kMaxGroupRows: scores, online
  // softmax and values as kernel_table.h says. It knows whether pages are halves or floats.
  void (*take_page)(const AttentionPage& page, AttentionTile& tile, int32_t row, int32_t rows);
  // One kv head's part of a kQ8_0 page to floats.
  void (*unpack_q8)(const std::byte* head_page, int32_t head_dim, UnpackedPage& to);
  // out[i] = x[i] * factor; `out` may be `x`
  void (*multiply)(const float* x, int32_t n, float factor, float* out);
  // out[i] = x[i] / divisor
  void (*divide)(const float* x, int32_t n, float divisor, float* out);
};

// KernelTable::attend by these steps.
void AttendByTiles(const AttentionSteps& steps, const AttentionShape& shape, const float* q,
                   int64_t tokens, int64_t first_position, const std::byte* const* pages,
                   int32_t kv_head, float* out);

}  // namespace shoal::kernels

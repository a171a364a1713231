// The sums of one group of rows: kRowUnit outputs of one token, four rows to a vector. For the
// AArch64 matrix products only.
#pragma once

#if defined(__aarch64__)

#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/neon_math.h"

namespace shoal::kernels::neon {

constexpr int kQuads = kRowUnit / 4;

struct RowSums {
  float32x4_t quads[kQuads];  // rows 4 v to 4 v + 3
};

// Writes the first `rows` (at least 1) of them.
inline void StoreRows(const RowSums& sums, int64_t rows, float* out) {
  if (rows >= kRowUnit) {
    for (int v = 0; v < kQuads; ++v) vst1q_f32(out + 4 * v, sums.quads[v]);
    return;
  }
  float all[kRowUnit];
  for (int v = 0; v < kQuads; ++v) vst1q_f32(all + 4 * v, sums.quads[v]);
  for (int64_t r = 0; r < rows; ++r) out[r] = all[r];
}

}  // namespace shoal::kernels::neon

#endif

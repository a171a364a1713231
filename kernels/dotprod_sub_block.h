// A sub-block's dot products by sdot, for dotprod_matmul.cc and, for single tokens, i8mm_matmul.cc.
#pragma once

#if defined(__aarch64__)

#include "kernels/neon_quants.h"

#define SHOAL_TARGET_DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))

namespace shoal::kernels::dotprod {

// One piece of 4 k, of which x holds the activations in lane kLane.
template <TensorType kType, int kLane, int kTokens>
SHOAL_TARGET_DOTPROD inline void AddPiece(const std::byte* record, int run, int piece, int v,
                                          const int8x16_t (&x)[kTokens],
                                          int32x4_t (&dots)[kTokens]) {
  const neon::Ints w = neon::Weights<kType>(record, run, piece, v);
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) dots[t] = vdotq_laneq_s32(dots[t], w, x[t], kLane);
}

// As kernels/neon_matmul_int8.inc asks for.
template <TensorType kType, int kTokens>
SHOAL_TARGET_DOTPROD inline void DotSub(const std::byte* record, int run, int first, int v,
                                        const int8_t* x, int64_t cols, int32x4_t (&dots)[kTokens]) {
  for (int32x4_t& dot : dots) dot = vdupq_n_s32(0);
#pragma GCC unroll 2
  for (int p = first; p < first + neon::kShape<kType>.sub / 4; p += 4) {
    int8x16_t values[kTokens];
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) values[t] = vld1q_s8(x + t * cols + 4 * p);
    AddPiece<kType, 0>(record, run, p, v, values, dots);
    AddPiece<kType, 1>(record, run, p + 1, v, values, dots);
    AddPiece<kType, 2>(record, run, p + 2, v, values, dots);
    AddPiece<kType, 3>(record, run, p + 3, v, values, dots);
  }
}

}  // namespace shoal::kernels::dotprod

#endif

// Matrix products with the int8 matrix multiplication instructions. smmla multiplies 8 k of two
// rows with 8 k of two tokens; a single token is better served by sdot.
#include "kernels/i8mm.h"

#if defined(__aarch64__)

#include "kernels/dotprod_sub_block.h"
#include "kernels/neon_matmul_float.h"
#include "kernels/neon_rows.h"
#include "kernels/packed_layout.h"
#include "kernels/quant_blocks.h"
#include "kernels/reference.h"

namespace shoal::kernels::i8mm {
namespace {

#define SHOAL_TARGET __attribute__((target("arch=armv8.2-a+dotprod+i8mm")))

constexpr int kTileTokens = 8;

// 8 k of two tokens.
SHOAL_TARGET inline int8x16_t LoadPair(const int8_t* x, int64_t cols) {
  return vcombine_s8(vld1_s8(x), vld1_s8(x + cols));
}

// The same 8 k of rows 0 and 1 of a quad, and of rows 2 and 3.
struct RowPairs {
  int8x16_t rows01;
  int8x16_t rows23;
};
template <TensorType kType>
SHOAL_TARGET inline RowPairs LoadRowPairs(const std::byte* record, int run, int piece, int v) {
  const int32x4_t a = vreinterpretq_s32_s8(neon::Weights<kType>(record, run, piece, v));
  const int32x4_t b = vreinterpretq_s32_s8(neon::Weights<kType>(record, run, piece + 1, v));
  return {vreinterpretq_s8_s32(vzip1q_s32(a, b)), vreinterpretq_s8_s32(vzip2q_s32(a, b))};
}

template <TensorType kType, int kTokens>
SHOAL_TARGET inline void DotSub(const std::byte* record, int run, int first, int v, const int8_t* x,
                                int64_t cols, int32x4_t (&dots)[kTokens]) {
  if constexpr (kTokens == 1) {
    dotprod::DotSub<kType>(record, run, first, v, x, cols, dots);
  } else {
    // Of tokens t, t + 1 and rows r, r + 1: r t, r t+1, r+1 t, r+1 t+1.
    int32x4_t sums01[kTokens / 2] = {};
    int32x4_t sums23[kTokens / 2] = {};
#pragma GCC unroll 4
    for (int p = first; p < first + neon::kShape<kType>.sub / 4; p += 2) {
      const RowPairs w = LoadRowPairs<kType>(record, run, p, v);
#pragma GCC unroll 4
      for (int i = 0; i < kTokens / 2; ++i) {
        const int8x16_t a = LoadPair(x + 2 * i * cols + 4 * p, cols);
        sums01[i] = vmmlaq_s32(sums01[i], w.rows01, a);
        sums23[i] = vmmlaq_s32(sums23[i], w.rows23, a);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kTokens / 2; ++i) {
      dots[2 * i] = vuzp1q_s32(sums01[i], sums23[i]);
      dots[2 * i + 1] = vuzp2q_s32(sums01[i], sums23[i]);
    }
  }
}

#include "kernels/neon_matmul_int8.inc"

#undef SHOAL_TARGET

}  // namespace

void MatMul(const WeightMatrix& weights, const Activations& x, int64_t tokens, int64_t row_begin,
            int64_t row_end, float* out, int64_t out_stride) {
  MultiplyMatrix(weights, x, tokens, row_begin, row_end, out, out_stride);
}

}  // namespace shoal::kernels::i8mm

#endif

// Matrix products with the instructions that every AArch64 CPU has: int8 products are added up in
// 16 bits as long as they fit.
#include "kernels/neon.h"

#if defined(__aarch64__)

#include "kernels/neon_matmul_float.h"
#include "kernels/neon_quants.h"
#include "kernels/neon_rows.h"
#include "kernels/packed_layout.h"
#include "kernels/quant_blocks.h"
#include "kernels/reference.h"

namespace shoal::kernels::neon {
namespace {

#define SHOAL_TARGET

constexpr int kTileTokens = 4;

// How many products fit in one 16-bit sum: a power of two, up to a sub-block's.
template <TensorType kType>
constexpr int ProductsPerSum() {
  int products = kShape<kType>.sub / 4;
  while (products * 127 * kLargestWeight < kType >> INT16_MAX) products /= 2;
  return products;
}

inline Ints BroadcastFour(const int8_t* values) {
  int32_t four;
  __builtin_memcpy(&four, values, sizeof(four));
  return EachInt(four);
}

template <TensorType kType, int kTokens>
inline void DotSub(const std::byte* record, int run, int first, int v, const int8_t* x,
                   int64_t cols, int32x4_t (&dots)[kTokens]) {
  constexpr int kSteps = ProductsPerSum<kType>();
  for (int32x4_t& dot : dots) dot = vdupq_n_s32(0);
#pragma GCC unroll 4
  for (int p = first; p < first + kShape<kType>.sub / 4; p += kSteps) {
    int16x8_t low[kTokens] = {};
    int16x8_t high[kTokens] = {};
#pragma GCC unroll 8
    for (int i = p; i < p + kSteps; ++i) {
      const Ints w = Weights<kType>(record, run, i, v);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) {
        const Ints a = BroadcastFour(x + t * cols + 4 * i);
        low[t] = vmlal_s8(low[t], vget_low_s8(w), vget_low_s8(a));
        high[t] = vmlal_high_s8(high[t], w, a);
      }
    }
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) {
      dots[t] = vaddq_s32(dots[t], vpaddq_s32(vpaddlq_s16(low[t]), vpaddlq_s16(high[t])));
    }
  }
}

#include "kernels/neon_matmul_int8.inc"

#undef SHOAL_TARGET

}  // namespace

int64_t PackedBytes(TensorType type, int64_t rows, int64_t cols) {
  return PackedMatrixBytes(type, rows, cols);
}

void Pack(const WeightMatrix& from, int64_t row_begin, int64_t row_end, std::byte* to) {
  PackRowGroups(from, row_begin, row_end, to);
}

void MatMul(const WeightMatrix& weights, const Activations& x, int64_t tokens, int64_t row_begin,
            int64_t row_end, float* out, int64_t out_stride) {
  MultiplyMatrix(weights, x, tokens, row_begin, row_end, out, out_stride);
}

}  // namespace shoal::kernels::neon

#endif

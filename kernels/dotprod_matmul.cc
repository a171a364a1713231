#include "kernels/dotprod.h"

#if defined(__aarch64__)

#include "kernels/dotprod_sub_block.h"
#include "kernels/neon_matmul_float.h"
#include "kernels/neon_rows.h"
#include "kernels/packed_layout.h"
#include "kernels/quant_blocks.h"
#include "kernels/reference.h"

namespace shoal::kernels::dotprod {
namespace {

#define SHOAL_TARGET SHOAL_TARGET_DOTPROD

constexpr int kTileTokens = 8;

#include "kernels/neon_matmul_int8.inc"

#undef SHOAL_TARGET

}  // namespace

void MatMul(const WeightMatrix& weights, const Activations& x, int64_t tokens, int64_t row_begin,
            int64_t row_end, float* out, int64_t out_stride) {
  MultiplyMatrix(weights, x, tokens, row_begin, row_end, out, out_stride);
}

}  // namespace shoal::kernels::dotprod

#endif

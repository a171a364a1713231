// Matrix products with the instructions that every AArch64 CPU has.
#include "kernels/neon.h"

#if defined(__aarch64__)

#include "kernels/neon_matmul_float.h"
#include "kernels/packed_layout.h"
#include "kernels/reference.h"

namespace shoal::kernels::neon {

int64_t PackedBytes(TensorType type, int64_t rows, int64_t cols) {
  return ActivationsAreFloats(type) ? PackedMatrixBytes(type, rows, cols) : 0;
}

void Pack(const WeightMatrix& from, int64_t row_begin, int64_t row_end, std::byte* to) {
  PackRowGroups(from, row_begin, row_end, to);
}

void MatMul(const WeightMatrix& weights, const Activations& x, int64_t tokens, int64_t row_begin,
            int64_t row_end, float* out, int64_t out_stride) {
  if (!weights.packed) {
    reference::MatMul(weights, x, tokens, row_begin, row_end, out, out_stride);
  } else {
    MultiplyF32(weights, x.f32, tokens, row_begin, row_end, out, out_stride);
  }
}

}  // namespace shoal::kernels::neon

#endif

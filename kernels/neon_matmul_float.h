// The AArch64 matrix product of F32, F16 and BF16 weights, which all of its instruction sets use.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"

namespace shoal::kernels::neon {

// MatMul of packed weights of those types. x [tokens, cols].
void MultiplyF32(const WeightMatrix& weights, const float* x, int64_t tokens, int64_t row_begin,
                 int64_t row_end, float* out, int64_t out_stride);

}  // namespace shoal::kernels::neon

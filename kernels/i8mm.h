// Kernels for AArch64 with the int8 matrix multiplication instructions (smmla): its matrix
// products. Everything else is kernels/neon.h. Contract: kernels/kernel_table.h.
#pragma once

#include "kernels/kernel_table.h"

namespace shoal::kernels::i8mm {

void MatMul(const WeightMatrix& weights, const Activations& x, int64_t tokens, int64_t row_begin,
            int64_t row_end, float* out, int64_t out_stride);

}  // namespace shoal::kernels::i8mm

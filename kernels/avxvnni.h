// Kernels for x86-64 with AVX-VNNI (vpdpbusd on vectors of 32 bytes): its matrix products.
// Everything else is kernels/avx2.h. Contract: kernels/kernel_table.h.
#pragma once

#include "kernels/kernel_table.h"

namespace shoal::kernels::avxvnni {

void MatMul(const WeightMatrix& weights, const Activations& x, int64_t tokens, int64_t row_begin,
            int64_t row_end, float* out, int64_t out_stride);

}  // namespace shoal::kernels::avxvnni

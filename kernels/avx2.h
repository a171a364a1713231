// Kernels for x86-64 with AVX2, FMA and F16C. Contracts: kernels/kernel_table.h.
#pragma once

#include "kernels/kernel_table.h"

namespace shoal::kernels::avx2 {

#include "kernels/table_functions.inc"

}  // namespace shoal::kernels::avx2

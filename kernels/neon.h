// Kernels for AArch64 with what every such CPU has (Armv8-A, Advanced SIMD). Contracts:
// kernels/kernel_table.h.
#pragma once

#include "kernels/kernel_table.h"

namespace shoal::kernels::neon {

#include "kernels/table_functions.inc"

}  // namespace shoal::kernels::neon

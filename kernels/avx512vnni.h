// Kernels for x86-64 with AVX-512 (F, BW, DQ, VL) and VNNI. Contracts: kernels/kernel_table.h.
#pragma once

#include "kernels/kernel_table.h"

namespace shoal::kernels::avx512vnni {

#include "kernels/table_functions.inc"

}  // namespace shoal::kernels::avx512vnni

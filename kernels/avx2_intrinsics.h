// The AVX2 intrinsics, and the attribute that lets a function use them, FMA and F16C. For the
// avx2_*.cc files only; kernels/avx512_intrinsics.h says why there are no -m flags.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>
#define SHOAL_TARGET_AVX2 __attribute__((target("avx2,fma,f16c")))

#endif

// The AVX-VNNI intrinsics beside those of AVX2, and the attribute that lets a function use them.
// For avxvnni_matmul.cc only; kernels/avx512_intrinsics.h says why there are no -m flags, and how
// its code is tested on CPUs without it (here with SHOAL_EMULATE_AVXVNNI).
#pragma once

#include "kernels/avx2_intrinsics.h"

#if defined(SHOAL_EMULATE_AVXVNNI)

#include SHOAL_EMULATE_AVXVNNI
#define SHOAL_TARGET_AVXVNNI SHOAL_TARGET_AVX2

#elif defined(__x86_64__)

#define SHOAL_TARGET_AVXVNNI __attribute__((target("avx2,fma,f16c,avxvnni")))

#endif

// The AVX-512 intrinsics, and the attribute that lets a function use them. For the
// avx512vnni_*.cc files only.
//
// Nothing is compiled with -m flags: an inline function of a shared header compiled with them would
// leak AVX-512 into portable code, since the linker keeps any one copy. Instead every function with
// intrinsics (static inline helpers too) carries SHOAL_TARGET_AVX512.
//
// So that the kernels are tested on CPUs without AVX-512, a test library compiles the same files
// with SHOAL_EMULATE_AVX512 naming a header that defines the same intrinsics in portable C++, and
// with the namespace avx512vnni renamed (tests/kernels/CMakeLists.txt). An intrinsic that the
// emulation lacks is added to that header.
#pragma once

#if defined(SHOAL_EMULATE_AVX512)

#include SHOAL_EMULATE_AVX512
#define SHOAL_TARGET_AVX512

#elif defined(__x86_64__)

#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own intrinsics begin with an undefined register and warn of it where they are inlined
// (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#define SHOAL_TARGET_AVX512 \
  __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

#endif

// The kernel tables that are held against the reference, and how their outputs are compared.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <ostream>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/isa.h"
#include "kernels/kernel_table.h"
#if defined(__x86_64__)
#define avx512vnni avx512vnni_emulated
#include "kernels/avx512vnni.h"
#undef avx512vnni
#endif

namespace shoal::kernels {

struct VectorKernels {
  std::string name;
  KernelTable table;
};

// How GoogleTest shows a parameter.
inline void PrintTo(const VectorKernels& kernels, std::ostream* out) { *out << kernels.name; }

// Every instruction set of this CPU but the reference, and AVX-512 emulated.
inline std::vector<VectorKernels> AllVectorKernels() {
  std::vector<VectorKernels> all;
  for (const Isa isa : SupportedIsas()) {
    if (isa != Isa::kReference) all.push_back({std::string(IsaName(isa)), TableFor(isa)});
  }
#if defined(__x86_64__)
  namespace emulated = avx512vnni_emulated;
  all.push_back({"avx512vnni_emulated",
                 {Isa::kAvx512Vnni,
                  emulated::QuantizeBy32,
                  emulated::QuantizeBy256,
                  emulated::PackedBytes,
                  emulated::Pack,
                  emulated::MatMul,
                  emulated::RmsNorm,
                  emulated::LayerNorm,
                  emulated::Add,
                  emulated::AddScaled,
                  emulated::Multiply,
                  emulated::SoftCap,
                  emulated::SoftmaxNumerators,
                  emulated::SiluMultiply,
                  emulated::Gelu,
                  emulated::GeluMultiply,
                  emulated::ClampedSwiglu,
                  emulated::RopeAdjacent,
                  emulated::RopeHalves,
                  emulated::StoreKv,
                  emulated::Attend}});
#endif
  return all;
}

// Bit for bit, but any NaN equals any other: which one comes out depends on operand order.
template <typename T>
void ExpectSameBits(const std::vector<T>& got, const std::vector<T>& expected, const char* what) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    if constexpr (std::is_same_v<T, float>) {
      if (std::isnan(got[i]) && std::isnan(expected[i])) continue;
      ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(expected[i]))
          << what << "[" << i << "]: " << got[i] << " instead of " << expected[i];
    } else {
      ASSERT_EQ(got[i], expected[i]) << what << "[" << i << "]";
    }
  }
}

}  // namespace shoal::kernels

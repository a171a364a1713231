#include "kernels/kernel_table.h"

#include "base/check.h"
#include "kernels/reference.h"
#if defined(__x86_64__)
#include "kernels/avx2.h"
#include "kernels/avx512vnni.h"
#include "kernels/avxvnni.h"
#elif defined(__aarch64__)
#include "kernels/dotprod.h"
#include "kernels/i8mm.h"
#include "kernels/neon.h"
#endif

// One table of the functions that every instruction set's namespace has.
#define SHOAL_KERNEL_TABLE(isa, ns)                                                               \
  KernelTable {                                                                                   \
    isa, ns::QuantizeBy32, ns::QuantizeBy256, ns::PackedBytes, ns::Pack, ns::MatMul, ns::RmsNorm, \
        ns::LayerNorm, ns::Add, ns::AddScaled, ns::Multiply, ns::SoftCap, ns::SoftmaxNumerators,  \
        ns::SiluMultiply, ns::Gelu, ns::GeluMultiply, ns::ClampedSwiglu, ns::RopeAdjacent,        \
        ns::RopeHalves, ns::StoreKv, ns::Attend                                                   \
  }

namespace shoal::kernels {

namespace {

// An instruction set that adds a matmul to another one and packs weights as that one does.
[[maybe_unused]] constexpr KernelTable WithMatMul(KernelTable table, Isa isa,
                                                  decltype(KernelTable::matmul) matmul) {
  table.isa = isa;
  table.matmul = matmul;
  return table;
}

}  // namespace

ActivationFormat ActivationFormatFor(TensorType weights) {
  switch (weights) {
    case TensorType::kF32:
    case TensorType::kF16:
    case TensorType::kBF16: return ActivationFormat::kF32;
    case TensorType::kQ4_0:
    case TensorType::kQ4_1:
    case TensorType::kQ5_0:
    case TensorType::kQ5_1:
    case TensorType::kQ8_0:
    case TensorType::kIQ4_NL:
    case TensorType::kMXFP4: return ActivationFormat::kInt8By32;
    case TensorType::kQ2_K:
    case TensorType::kQ3_K:
    case TensorType::kQ4_K:
    case TensorType::kQ5_K:
    case TensorType::kQ6_K:
    case TensorType::kIQ4_XS:
    case TensorType::kIQ3_S:
    case TensorType::kIQ3_XXS:
    case TensorType::kIQ2_S:
    case TensorType::kIQ2_XS:
    case TensorType::kIQ2_XXS:
    case TensorType::kIQ1_M:
    case TensorType::kIQ1_S:
    case TensorType::kTQ2_0:
    case TensorType::kTQ1_0: return ActivationFormat::kInt8By256;
  }
  CHECK(false, "a tensor type without kernels");
}

const KernelTable& TableFor(Isa isa) {
  static constexpr KernelTable kReference = SHOAL_KERNEL_TABLE(Isa::kReference, reference);
#if defined(__x86_64__)
  static constexpr KernelTable kAvx2 = SHOAL_KERNEL_TABLE(Isa::kAvx2, avx2);
  static constexpr KernelTable kAvxVnni = WithMatMul(kAvx2, Isa::kAvxVnni, avxvnni::MatMul);
  static constexpr KernelTable kAvx512Vnni = SHOAL_KERNEL_TABLE(Isa::kAvx512Vnni, avx512vnni);
  if (isa == Isa::kAvx2) return kAvx2;
  if (isa == Isa::kAvxVnni) return kAvxVnni;
  if (isa == Isa::kAvx512Vnni) return kAvx512Vnni;
#elif defined(__aarch64__)
  static constexpr KernelTable kNeon = SHOAL_KERNEL_TABLE(Isa::kNeon, neon);
  static constexpr KernelTable kDotProd = WithMatMul(kNeon, Isa::kDotProd, dotprod::MatMul);
  static constexpr KernelTable kI8mm = WithMatMul(kNeon, Isa::kI8mm, i8mm::MatMul);
  if (isa == Isa::kNeon) return kNeon;
  if (isa == Isa::kDotProd) return kDotProd;
  if (isa == Isa::kI8mm) return kI8mm;
#endif
  CHECK(isa == Isa::kReference, "an instruction set that this build has no kernels for");
  return kReference;
}

}  // namespace shoal::kernels

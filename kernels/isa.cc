#include "kernels/isa.h"

#include <algorithm>
#include <array>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "base/check.h"

namespace shoal::kernels {

namespace {

constexpr std::array kAll = {Isa::kReference, Isa::kAvx2,    Isa::kAvxVnni, Isa::kAvx512Vnni,
                             Isa::kNeon,      Isa::kDotProd, Isa::kI8mm};

#if defined(__x86_64__)

// For these not every compiler's __builtin_cpu_supports has a name (Intel's manual, CPUID).
struct CpuidBits {
  bool f16c = false;
  bool avx_vnni = false;
};

CpuidBits ReadCpuid() {
  constexpr unsigned kAvxVnniBit = 1U << 4;
  CpuidBits bits;
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  bits.f16c = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
  bits.avx_vnni = __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & kAvxVnniBit) != 0;
  return bits;
}

bool IsSupported(Isa isa) {
  const CpuidBits bits = ReadCpuid();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && bits.f16c;
  switch (isa) {
    case Isa::kReference: return true;
    case Isa::kAvx2: return avx2;
    case Isa::kAvxVnni: return avx2 && bits.avx_vnni;
    case Isa::kAvx512Vnni:
      return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vnni");
    default: return false;
  }
}

#elif defined(__aarch64__)

bool IsSupported(Isa isa) {
  const bool dot_product = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
  switch (isa) {
    case Isa::kReference:
    case Isa::kNeon: return true;
    case Isa::kDotProd: return dot_product;
    case Isa::kI8mm: return dot_product && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
    default: return false;
  }
}

#else

bool IsSupported(Isa isa) { return isa == Isa::kReference; }

#endif

std::string Names(std::span<const Isa> isas) {
  std::string names;
  for (const Isa isa : isas) {
    if (!names.empty()) names += ", ";
    names += IsaName(isa);
  }
  return names;
}

}  // namespace

std::span<const Isa> AllIsas() { return kAll; }

std::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kReference: return "reference";
    case Isa::kAvx2: return "avx2";
    case Isa::kAvxVnni: return "avxvnni";
    case Isa::kAvx512Vnni: return "avx512vnni";
    case Isa::kNeon: return "neon";
    case Isa::kDotProd: return "dotprod";
    case Isa::kI8mm: return "i8mm";
  }
  CHECK(false, "an instruction set without a name");
}

std::vector<Isa> SupportedIsas() {
  std::vector<Isa> isas;
  std::copy_if(kAll.begin(), kAll.end(), std::back_inserter(isas), IsSupported);
  return isas;
}

Result<Isa> ChooseIsa(std::string_view forced) {
  const std::vector<Isa> supported = SupportedIsas();
  if (forced.empty()) return supported.back();
  const auto* const found =
      std::find_if(kAll.begin(), kAll.end(), [forced](Isa isa) { return IsaName(isa) == forced; });
  if (found == kAll.end()) {
    return InvalidArgument("SHOAL_ISA: \"" + std::string(forced) +
                           "\" is no instruction set that Shoal knows (" + Names(kAll) + ")");
  }
  if (!IsSupported(*found)) {
    return FailedPrecondition("SHOAL_ISA: this CPU and build cannot run \"" + std::string(forced) +
                              "\" (they can run " + Names(supported) + ")");
  }
  return *found;
}

}  // namespace shoal::kernels

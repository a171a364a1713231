#include "kernels/isa.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace shoal::kernels {

namespace {

constexpr std::array<Isa, 3> kAll = {Isa::kReference, Isa::kAvx2, Isa::kAvx512Vnni};

bool IsSupported(Isa isa) {
  if (isa == Isa::kReference) return true;
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  if (isa == Isa::kAvx2) return avx2;
  return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

template <typename Isas>
std::string Names(const Isas& isas) {
  std::string names;
  for (const Isa isa : isas) {
    if (!names.empty()) names += ", ";
    names += IsaName(isa);
  }
  return names;
}

}  // namespace

std::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kReference: return "reference";
    case Isa::kAvx2: return "avx2";
    case Isa::kAvx512Vnni: return "avx512vnni";
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

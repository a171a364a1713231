// The instruction sets that kernels exist for, and the choice of one at start.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace shoal::kernels {

enum class Isa { kReference, kAvx2, kAvxVnni, kAvx512Vnni, kNeon, kDotProd, kI8mm };

// All of them, whatever this CPU and this build can run.
std::span<const Isa> AllIsas();

// As SHOAL_ISA takes it: "reference", "avx2", "avxvnni", "avx512vnni", "neon", "dotprod", "i8mm".
std::string_view IsaName(Isa isa);

// Those that this CPU and this build can run, slowest first; always begins with kReference.
//   kAvx2        AVX2, FMA, F16C
//   kAvxVnni     AVX-VNNI, and all of kAvx2
//   kAvx512Vnni  AVX-512 F, BW, DQ, VL and VNNI, and all of kAvx2
//   kNeon        Armv8-A, that is, every AArch64 CPU
//   kDotProd     Armv8.2-A with the dot product instructions
//   kI8mm        kDotProd with the int8 matrix multiplication instructions
std::vector<Isa> SupportedIsas();

// The last of SupportedIsas(), or the one `forced` names (the value of SHOAL_ISA; empty: not
// forced). Errors: an unknown name (the message lists the names), or one that this CPU lacks.
Result<Isa> ChooseIsa(std::string_view forced);

}  // namespace shoal::kernels

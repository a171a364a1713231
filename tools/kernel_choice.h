// Which kernels this process computes with.
#pragma once

#include "base/result.h"
#include "kernels/kernel_table.h"

namespace shoal {

// Those of the best instruction set, or of the one that SHOAL_ISA names; with OpenBLAS where it is
// asked for. Errors: those of ChooseIsa and InexactTableFor.
Result<const kernels::KernelTable*> ChooseKernels(bool inexact_blas);

// --inexact-blas, for all commands that compute.
constexpr const char* kInexactBlasHelp =
    "Compute long prompts of F32, F16 and BF16 weights by OpenBLAS: logits then depend on the "
    "machine in their last digits";

}  // namespace shoal

#include "tools/kernel_choice.h"

#include <cstdlib>

#include "kernels/inexact_blas.h"
#include "kernels/isa.h"

namespace shoal {

Result<const kernels::KernelTable*> ChooseKernels(bool inexact_blas) {
  const char* forced = std::getenv("SHOAL_ISA");
  ASSIGN_OR_RETURN(const kernels::Isa isa, kernels::ChooseIsa(forced != nullptr ? forced : ""));
  if (inexact_blas) return kernels::InexactTableFor(isa);
  return &kernels::TableFor(isa);
}

}  // namespace shoal

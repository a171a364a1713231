// The fastest int8 multiply-adds that an instruction set has, on registers alone: the bound that
// matrix products are held against.
#pragma once

#include <cstdint>

#include "kernels/isa.h"

namespace shoal::kernels {

// Does `rounds` rounds of independent multiply-adds and returns how many multiply-adds those were.
// REQUIRES isa to be one of SupportedIsas().
int64_t MultiplyInt8(Isa isa, int64_t rounds);

}  // namespace shoal::kernels

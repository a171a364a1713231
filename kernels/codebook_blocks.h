// Unpacking of the IQ formats whose quants are codebook entries, and of ternary TQ1_0: the part of
// UnpackBlock (kernels/quant_blocks.h) for types that are rare in files.
// Source: ggml's block layouts (public facts); kernels/codebooks.h for the codebooks.
#pragma once

#include <cstddef>

#include "kernels/quant_blocks.h"

namespace shoal::kernels {

// Writes scale, scales and quants. False, with nothing written, for any other type.
bool UnpackCodebookBlock(TensorType type, const std::byte* block, Block256& to);

}  // namespace shoal::kernels

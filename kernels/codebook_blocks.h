// Unpacking of the IQ formats whose quants are codebook entries, and of ternary TQ1_0: the part of
// UnpackBlock (kernels/quant_blocks.h) for types that are rare in files.
// Source: ggml's block layouts (public facts); kernels/codebooks.h for the codebooks.
#pragma once

#include <cstddef>

#include "kernels/quant_blocks.h"

namespace shoal::kernels {

// IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S.
bool HasSignedBlocks(TensorType type);

// A block of such a type as the codebooks have it: as Block256, but
// value 8 g + i is byte i (1 to 62) of magnitudes[g], negative where bit i of signs[g] is set.
struct SignedBlock256 {
  float scale;
  int8_t scales[16];
  uint64_t magnitudes[32];
  uint8_t signs[32];
};

// REQUIRES such a type.
void UnpackSignedBlock(TensorType type, const std::byte* block, SignedBlock256& to);

// Writes scale, scales and quants. False, with nothing written, for any other type.
bool UnpackCodebookBlock(TensorType type, const std::byte* block, Block256& to);

}  // namespace shoal::kernels

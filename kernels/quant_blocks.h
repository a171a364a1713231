// GGUF's blocks as plain integers, the form that dot products and dequantization start from. Exact:
// no float operation but the widening of the block's own half-precision scales.
// Source: the GGUF specification and ggml's block layouts (public facts).
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/gguf/tensor_type.h"

namespace shoal::kernels {

// 32 values: value i is scale * quants[i], plus minimum if BlockHasMinimum.
struct Block32 {
  float scale;
  float minimum;
  int8_t quants[32];  // offsets (-8, -16) applied, IQ4_NL and MXFP4 (doubled) looked up
};

// The parts of a value are whole numbers, so `scale` is the format's own, divided by what makes
// them so: 2 for MXFP4; 8 for IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS and IQ2_S; 4 for IQ3_XXS.

// 256 values in 16 groups of 16: value i of group j = i / 16 is (scale * scales[j]) * quants[i],
// less (minimum_scale * minimums[j]) if BlockHasMinimum. Formats whose groups are of 32 values
// have each scale and minimum twice.
struct Block256 {
  float scale;
  float minimum_scale;
  int8_t scales[16];     // offsets applied
  uint8_t minimums[16];  // at most 63
  int8_t quants[256];    // offsets applied, codebooks looked up
};

// Q4_1, Q5_1, Q2_K, Q4_K, Q5_K.
bool BlockHasMinimum(TensorType type);

// REQUIRES a type of 32-value blocks. `block` needs no alignment. Fields that the type lacks are 0.
void UnpackBlock(TensorType type, const std::byte* block, Block32& to);

// REQUIRES a type of 256-value blocks. `block` needs no alignment. Fields that the type lacks are
// 0.
void UnpackBlock(TensorType type, const std::byte* block, Block256& to);

}  // namespace shoal::kernels

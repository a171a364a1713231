// GGUF's block formats: exact dequantization to f32, and exact integer unpacking for dot products.
// Source: the GGUF specification and ggml's block layouts (public facts).
//
// Dequantization is bit-equal to ggml's: see tests/kernels/quant_formats_test.cc.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/gguf/tensor_type.h"

namespace shoal::kernels {

// IEEE half and bfloat16 to f32 and back (nearest even; NaN stays NaN).
float HalfToFloat(uint16_t half);
uint16_t FloatToHalf(float value);
float Bfloat16ToFloat(uint16_t bits);

// One row of `cols` values (a whole number of blocks) to f32.
void DequantizeRow(TensorType type, const std::byte* row, int64_t cols, float* out);

}  // namespace shoal::kernels

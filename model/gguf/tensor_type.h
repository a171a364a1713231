// The tensor types of GGUF files: names, block sizes, bytes. What a block means is the business of
// kernels/quant_formats.h; this is only what a reader needs to check sizes.
// Source: the GGUF specification and ggml's type numbering (public facts).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace shoal {

// Values are the numbers that stand in GGUF files. Only types this build computes with are named.
enum class TensorType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
};

struct TensorTypeInfo {
  TensorType type;
  std::string_view name;  // as GGUF tools print it: "Q4_1"
  int32_t block_values;   // values per block; a row is a whole number of blocks
  int32_t block_bytes;
};

// Info of a type by its number in the file; nothing if this build does not support it.
const TensorTypeInfo* FindTensorType(uint32_t number);

// REQUIRES a named type.
const TensorTypeInfo& InfoOf(TensorType type);

// A name for any number: "Q4_1", "Q8_K (unsupported)", "type 77 (unknown)".
std::string DescribeTensorType(uint32_t number);

// "F32, F16, BF16, Q4_0, ...": for error messages.
std::string SupportedTensorTypes();

// Bytes of one row of `values` values. REQUIRES values to be a multiple of block_values.
int64_t RowBytes(TensorType type, int64_t values);

}  // namespace shoal

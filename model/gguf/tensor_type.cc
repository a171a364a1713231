#include "model/gguf/tensor_type.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace shoal {

namespace {

constexpr std::array<TensorTypeInfo, 25> kTypes = {{
    {TensorType::kF32, "F32", 1, 4},
    {TensorType::kF16, "F16", 1, 2},
    {TensorType::kBF16, "BF16", 1, 2},
    {TensorType::kQ4_0, "Q4_0", 32, 18},
    {TensorType::kQ4_1, "Q4_1", 32, 20},
    {TensorType::kQ5_0, "Q5_0", 32, 22},
    {TensorType::kQ5_1, "Q5_1", 32, 24},
    {TensorType::kQ8_0, "Q8_0", 32, 34},
    {TensorType::kQ2_K, "Q2_K", 256, 84},
    {TensorType::kQ3_K, "Q3_K", 256, 110},
    {TensorType::kQ4_K, "Q4_K", 256, 144},
    {TensorType::kQ5_K, "Q5_K", 256, 176},
    {TensorType::kQ6_K, "Q6_K", 256, 210},
    {TensorType::kIQ4_NL, "IQ4_NL", 32, 18},
    {TensorType::kIQ4_XS, "IQ4_XS", 256, 136},
    {TensorType::kIQ3_S, "IQ3_S", 256, 110},
    {TensorType::kIQ3_XXS, "IQ3_XXS", 256, 98},
    {TensorType::kIQ2_S, "IQ2_S", 256, 82},
    {TensorType::kIQ2_XS, "IQ2_XS", 256, 74},
    {TensorType::kIQ2_XXS, "IQ2_XXS", 256, 66},
    {TensorType::kIQ1_M, "IQ1_M", 256, 56},
    {TensorType::kIQ1_S, "IQ1_S", 256, 50},
    {TensorType::kTQ2_0, "TQ2_0", 256, 66},
    {TensorType::kTQ1_0, "TQ1_0", 256, 54},
    {TensorType::kMXFP4, "MXFP4", 32, 17},
}};

// Types that exist in files but not in this build, so that messages can name them.
struct UnsupportedType {
  uint32_t number;
  std::string_view name;
};
constexpr std::array<UnsupportedType, 15> kUnsupported = {{
    {4, "Q4_2"},
    {5, "Q4_3"},
    {9, "Q8_1"},
    {15, "Q8_K"},
    {24, "I8"},
    {25, "I16"},
    {26, "I32"},
    {27, "I64"},
    {28, "F64"},
    {31, "Q4_0_4_4"},
    {32, "Q4_0_4_8"},
    {33, "Q4_0_8_8"},
    {36, "IQ4_NL_4_4"},
    {37, "IQ4_NL_4_8"},
    {38, "IQ4_NL_8_8"},
}};

}  // namespace

const TensorTypeInfo* FindTensorType(uint32_t number) {
  const auto* found = std::find_if(kTypes.begin(), kTypes.end(), [number](const auto& info) {
    return static_cast<uint32_t>(info.type) == number;
  });
  return found == kTypes.end() ? nullptr : found;
}

const TensorTypeInfo& InfoOf(TensorType type) {
  const TensorTypeInfo* info = FindTensorType(static_cast<uint32_t>(type));
  CHECK(info != nullptr, "a named tensor type");
  return *info;
}

std::string DescribeTensorType(uint32_t number) {
  if (const TensorTypeInfo* info = FindTensorType(number)) return std::string(info->name);
  for (const UnsupportedType& type : kUnsupported) {
    if (type.number == number) return std::string(type.name) + " (unsupported)";
  }
  return "type " + std::to_string(number) + " (unknown)";
}

std::string SupportedTensorTypes() {
  std::string names;
  for (const TensorTypeInfo& info : kTypes) {
    if (!names.empty()) names += ", ";
    names += info.name;
  }
  return names;
}

int64_t RowBytes(TensorType type, int64_t values) {
  const TensorTypeInfo& info = InfoOf(type);
  CHECK(values % info.block_values == 0, "a row is a whole number of blocks");
  return values / info.block_values * info.block_bytes;
}

}  // namespace shoal

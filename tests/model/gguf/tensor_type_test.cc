// Proves that tensor types have the names and sizes of the GGUF format, against published figures
// of bytes per block, and that any number gets a name.
#include "model/gguf/tensor_type.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace shoal {
namespace {

using ::testing::HasSubstr;

TEST(TensorType, RowsHaveThePublishedSize) {
  // Bits per weight as the format's documentation states them: bytes per row of 256.
  const std::map<TensorType, double> bits = {
      {TensorType::kF32, 32},        {TensorType::kF16, 16},         {TensorType::kBF16, 16},
      {TensorType::kQ4_0, 4.5},      {TensorType::kQ4_1, 5},         {TensorType::kQ5_0, 5.5},
      {TensorType::kQ5_1, 6},        {TensorType::kQ8_0, 8.5},       {TensorType::kQ2_K, 2.625},
      {TensorType::kQ3_K, 3.4375},   {TensorType::kQ4_K, 4.5},       {TensorType::kQ5_K, 5.5},
      {TensorType::kQ6_K, 6.5625},   {TensorType::kIQ4_NL, 4.5},     {TensorType::kIQ4_XS, 4.25},
      {TensorType::kIQ3_S, 3.4375},  {TensorType::kIQ3_XXS, 3.0625}, {TensorType::kIQ2_S, 2.5625},
      {TensorType::kIQ2_XS, 2.3125}, {TensorType::kIQ2_XXS, 2.0625}, {TensorType::kIQ1_M, 1.75},
      {TensorType::kIQ1_S, 1.5625},  {TensorType::kTQ2_0, 2.0625},   {TensorType::kTQ1_0, 1.6875},
      {TensorType::kMXFP4, 4.25},
  };
  int found = 0;
  for (uint32_t number = 0; number < 256; ++number) {
    const TensorTypeInfo* info = FindTensorType(number);
    if (info == nullptr) continue;
    ++found;
    EXPECT_EQ(&InfoOf(info->type), info);
    ASSERT_TRUE(bits.contains(info->type)) << info->name;
    EXPECT_EQ(static_cast<double>(RowBytes(info->type, 512)) * 8 / 512, bits.at(info->type))
        << info->name;
    EXPECT_EQ(DescribeTensorType(number), info->name);
    EXPECT_THAT(SupportedTensorTypes(), HasSubstr(std::string(info->name)));
  }
  EXPECT_EQ(found, static_cast<int>(bits.size()));
}

TEST(TensorType, EveryNumberHasAName) {
  EXPECT_EQ(DescribeTensorType(15), "Q8_K (unsupported)");
  EXPECT_EQ(DescribeTensorType(36), "IQ4_NL_4_4 (unsupported)");
  EXPECT_EQ(DescribeTensorType(77), "type 77 (unknown)");
  EXPECT_EQ(DescribeTensorType(0xffffffff), "type 4294967295 (unknown)");
  EXPECT_EQ(SupportedTensorTypes().substr(0, 20), "F32, F16, BF16, Q4_0");
}

TEST(TensorTypeDeathTest, RowsAreWholeBlocks) {
  EXPECT_DEATH(RowBytes(TensorType::kQ4_0, 33), "whole number of blocks");
}

}  // namespace
}  // namespace shoal

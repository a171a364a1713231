// Random weights of every tensor type and random activations, for tests that compare kernels. All
// values are finite and far from overflow; within that, every bit pattern of a block may come up,
// extremes more often than chance would have it. The same generator state gives the same data.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"
#include "model/gguf/tensor_type.h"

namespace shoal::kernels {

using Random = std::mt19937_64;

constexpr std::array<TensorType, 25> kAllTensorTypes = {
    TensorType::kF32,     TensorType::kF16,   TensorType::kBF16,   TensorType::kQ4_0,
    TensorType::kQ4_1,    TensorType::kQ5_0,  TensorType::kQ5_1,   TensorType::kQ8_0,
    TensorType::kIQ4_NL,  TensorType::kQ2_K,  TensorType::kQ3_K,   TensorType::kQ4_K,
    TensorType::kQ5_K,    TensorType::kQ6_K,  TensorType::kIQ4_XS, TensorType::kIQ3_S,
    TensorType::kIQ3_XXS, TensorType::kIQ2_S, TensorType::kIQ2_XS, TensorType::kIQ2_XXS,
    TensorType::kIQ1_M,   TensorType::kIQ1_S, TensorType::kTQ2_0,  TensorType::kTQ1_0,
    TensorType::kMXFP4,
};

constexpr std::array<KvType, 3> kAllKvTypes = {KvType::kF16, KvType::kF32, KvType::kQ8_0};
inline std::string NameOf(KvType type) {
  return type == KvType::kF16 ? "f16" : type == KvType::kF32 ? "f32" : "q8_0";
}

// The halves of quantized blocks: the size of real scales, or one in eight any finite bit pattern.
enum class Scales { kUsual, kAny };

// `rows` rows of `cols` values (whole blocks), one after another.
std::vector<std::byte> RandomRows(TensorType type, int64_t rows, int64_t cols, Random& random,
                                  Scales scales = Scales::kAny);

// Finite values of every sign: most about 1 in size, some 0, some large (1e4), and whole runs of 32
// that are zero, tiny or subnormal.
std::vector<float> RandomFloats(int64_t count, Random& random);

// The activations of `tokens` tokens, as f32 and in one quantized form, made by the reference.
class TestActivations {
 public:
  // x is [tokens, cols]; cols is a whole number of the format's blocks.
  TestActivations(ActivationFormat format, int64_t tokens, int64_t cols, std::vector<float> x);

  Activations View() const { return View(0); }
  // The activations without the first `token` tokens.
  Activations View(int64_t token) const;

 private:
  ActivationFormat format_;
  int64_t cols_;
  std::vector<float> x_;
  std::vector<int8_t> values_;
  std::vector<float> scales_;
  std::vector<int32_t> sums_;
  std::vector<float> scaled_sums_;
  std::vector<int16_t> sums16_;
};

}  // namespace shoal::kernels

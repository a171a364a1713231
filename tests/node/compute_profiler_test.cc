// Proves that what the profiler measures is taken apart into terms that add up again to the layers
// it ran, on small layers and a real clock: every number is finite and positive whatever the
// machine does meanwhile. How long things take is not tested.
#include "node/compute_profiler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "node/layer_bench.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr LayerDims kSmall = {128, 4, 2, 32, 256, TensorType::kF16};

const kernels::KernelTable& Kernels() { return kernels::TableFor(kernels::ChooseIsa("").value()); }

ComputeProfileOptions SmallOptions() {
  ComputeProfileOptions options;
  options.dims = kSmall;
  options.types = {TensorType::kF32, TensorType::kQ4_0, TensorType::kQ6_K};
  options.most_tokens = 64;
  options.weight_bytes = 1 << 20;
  options.budget_s = 1e-4;
  options.rounds = 2;
  return options;
}

bool IsPositive(double value) { return std::isfinite(value) && value > 0; }

TEST(ComputeProfiler, EveryNumberIsFiniteAndPositive) {
  ThreadPool pool(2);
  std::vector<int32_t> done;
  const auto profile = MeasureCompute(Kernels(), pool, SmallOptions(), SteadyClock(),
                                      [&](int32_t part, int32_t total) {
                                        EXPECT_EQ(total, 10);
                                        done.push_back(part);
                                        return true;
                                      });
  ASSERT_TRUE(profile.ok()) << profile.error().message;
  EXPECT_THAT(done, ::testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  ASSERT_EQ(profile->types.size(), 3U);
  for (const TypeRate& type : profile->types) {
    ASSERT_FALSE(type.batches.empty());
    EXPECT_EQ(type.batches.front().tokens, 1);
    for (size_t i = 0; i < type.batches.size(); ++i) {
      EXPECT_TRUE(IsPositive(type.batches[i].bytes_per_s)) << type.batches[i].bytes_per_s;
      if (i > 0) {
        EXPECT_EQ(type.batches[i].tokens, 2 * type.batches[i - 1].tokens);
      }
    }
  }
  EXPECT_TRUE(IsPositive(profile->attention_decode_macs_per_s));
  EXPECT_TRUE(IsPositive(profile->attention_prefill_macs_per_s));
  EXPECT_TRUE(IsPositive(profile->elementwise_values_per_s));
  for (const double seconds : {profile->matrix_s, profile->layer_s, profile->step_s}) {
    EXPECT_TRUE(std::isfinite(seconds) && seconds >= 0) << seconds;
  }
}

TEST(ComputeProfiler, EndsWhenItIsTold) {
  ThreadPool pool(1);
  int calls = 0;
  const auto profile = MeasureCompute(Kernels(), pool, SmallOptions(), SteadyClock(),
                                      [&](int32_t, int32_t) { return ++calls < 3; });
  ASSERT_FALSE(profile.ok());
  EXPECT_EQ(profile.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(calls, 3);
}

TEST(ComputeProfiler, RefusesLayersThatNoModelHas) {
  const auto refused = [](auto change, const std::string& says) {
    LayerDims dims = kSmall;
    change(dims);
    const Status status = CheckLayerDims(dims);
    ASSERT_FALSE(status.ok()) << says;
    EXPECT_THAT(status.error().message, HasSubstr(says));
  };
  EXPECT_TRUE(CheckLayerDims(kSmall).ok());
  refused([](LayerDims& dims) { dims.model_dim = 0; }, "model_dim is 0");
  refused([](LayerDims& dims) { dims.ffn_dim = (1 << 19) + 1; }, "ffn_dim is 524289");
  refused([](LayerDims& dims) { dims.heads = -1; }, "heads is -1");
  refused([](LayerDims& dims) { dims.kv_heads = 3; }, "kv_heads 3 does not divide heads 4");
  refused([](LayerDims& dims) { dims.head_dim = 1024; }, "head_dim is 1024");
  refused([](LayerDims& dims) { dims.head_dim = 33; }, "head_dim is 33");
  refused([](LayerDims& dims) { dims.kv_type = TensorType::kQ4_0; }, "kv_type Q4_0");
}

// Seven matrices of Q8_0: 34 bytes for 32 values.
TEST(LayerBench, BytesAreThoseOfTheSevenMatrices) {
  const int64_t values = 128 * 128 * 2 + 128 * 64 * 2 + 128 * 256 * 3;
  EXPECT_EQ(LayerBytes(kSmall, TensorType::kQ8_0), values / 32 * 34);
  EXPECT_EQ(ElementwiseValues(kSmall), 2 * (128 + 128) + 2 * (128 + 64) + 3 * (128 + 256));
  EXPECT_EQ(AttentionMacs(kSmall), 2 * 4 * 32);
}

// SmolLM2's layer is 576 wide: not a whole number of a K-quant's blocks.
TEST(LayerBench, DimsGrowToWholeBlocksAndShrinkToFit) {
  constexpr LayerDims kSmol = {576, 9, 3, 64, 1536, TensorType::kF16};
  EXPECT_EQ(FitDims(kSmol, TensorType::kQ4_0, 1 << 30), kSmol);
  const LayerDims k_quant = FitDims(kSmol, TensorType::kQ4_K, 1 << 30);
  EXPECT_EQ(k_quant.model_dim, 768);
  EXPECT_EQ(k_quant.heads * k_quant.head_dim % 256, 0);
  EXPECT_EQ(k_quant.heads / k_quant.kv_heads, 3);

  constexpr LayerDims kLarge = {8192, 64, 8, 128, 28672, TensorType::kF16};
  for (const TensorType type : {TensorType::kF32, TensorType::kQ6_K, TensorType::kIQ1_S}) {
    const LayerDims fit = FitDims(kLarge, type, 64 << 20);
    EXPECT_LE(LayerBytes(fit, type), 64 << 20);
    EXPECT_TRUE(CheckLayerDims(fit).ok());
    EXPECT_GE(LayerBytes(fit, type), 8 << 20) << "no smaller than it must";
  }
}

TEST(LayerBench, ALayerThatCannotShrinkIsLeftAsItIs) {
  const LayerDims fit = FitDims({1, 1, 1, 2, 1, TensorType::kF16}, TensorType::kQ4_K, 1);
  EXPECT_EQ(fit.model_dim, 256);
  EXPECT_EQ(fit.ffn_dim, 256);
}

}  // namespace
}  // namespace shoal

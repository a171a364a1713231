// Proves the planner's view of every family against what a stage does with the same file: windows
// and experts of each layer, KV and weight bytes, and buffers that a stage never exceeds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/model_shape.h"
#include "kernels/isa.h"
#include "model/transformer/config.h"
#include "model/transformer/stage.h"

namespace shoal {
namespace {

std::vector<std::string> TinyModels() {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(SHOAL_TEST_DATA "/tiny-models")) {
    if (entry.path().extension() == ".gguf") paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

class FamilyShape : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    file_ = std::make_shared<const GgufFile>(GgufFile::Open(GetParam()).value());
    config_ = ReadModelConfig(*file_).value();
    shape_ = ReadModelShape(*file_, TensorType::kF16).value();
  }

  std::unique_ptr<Stage> Load(LayerRange range) {
    StageOptions options;
    options.range = range;
    options.kv_budget_bytes = 1 << 20;
    return Stage::Load(file_, config_, options, kernels::TableFor(kernels::Isa::kReference), pool_,
                       nullptr)
        .value();
  }

  std::shared_ptr<const GgufFile> file_;  // shared with a stage
  ModelConfig config_;
  ModelShape shape_;
  ThreadPool pool_{1};
};

TEST_P(FamilyShape, LayersSeeWhatTheStageLetsThemSee) {
  ASSERT_EQ(shape_.layer_count(), config_.layers);
  for (size_t i = 0; i < shape_.layers.size(); ++i) {
    EXPECT_EQ(shape_.layers[i].attention_window, config_.layer_configs[i].window) << i;
    EXPECT_EQ(shape_.layers[i].kv_bytes_per_token, config_.KvBytesPerToken(1, TensorType::kF16));
    EXPECT_EQ(shape_.layers[i].attention_macs_per_position,
              int64_t{2} * config_.heads * config_.head_dim);
  }
}

TEST_P(FamilyShape, ExpertsAreGroupsOfWhichATokenUsesSome) {
  for (const LayerShape& layer : shape_.layers) {
    const auto routed = [](const WeightGroup& group) { return group.experts > 1; };
    EXPECT_EQ(std::any_of(layer.weights.begin(), layer.weights.end(), routed), config_.experts > 0);
    for (const WeightGroup& group : layer.weights) {
      if (!routed(group)) continue;
      EXPECT_EQ(group.experts, config_.experts);
      EXPECT_EQ(group.experts_used, config_.experts_used);
    }
  }
}

// The reference kernels keep weights as they are in the file.
TEST_P(FamilyShape, BytesAreThoseThatTheStageHolds) {
  for (int32_t i = 0; i < config_.layers; ++i) {
    const auto stage = Load({i, i + 1});
    const LayerShape& layer = shape_.layers[static_cast<size_t>(i)];
    int64_t matrices = ResidentBytes(layer.weights);
    int64_t touched = BytesPerToken(layer.weights);
    if (i + 1 == config_.layers) {
      matrices += ResidentBytes(shape_.head);
      touched += BytesPerToken(shape_.head);
    }
    EXPECT_EQ(stage->weight_bytes_per_token(), touched) << i;
    EXPECT_EQ(stage->memory().weights_bytes, matrices) << i;
  }
}

TEST_P(FamilyShape, BuffersSufficeForAStageAndAreNoWaste) {
  const int64_t planned = shape_.buffer_bytes_per_token * 256;
  const int64_t logits = int64_t{config_.vocab_size} * 64 * 4;  // of the last stage alone
  const int64_t used = Load({0, 1})->memory().buffer_bytes;
  EXPECT_GE(planned, used);
  EXPECT_LE(planned, 4 * used);
  EXPECT_GE(planned + logits, Load({0, config_.layers})->memory().buffer_bytes);
}

TEST_P(FamilyShape, TheLayerToMeasureIsTheModels) {
  const ProfileTarget target = ReadProfileTarget(*file_, TensorType::kQ8_0).value();
  EXPECT_EQ(target.model_dim, config_.model_dim);
  EXPECT_EQ(target.heads, config_.heads);
  EXPECT_EQ(target.kv_heads, config_.kv_heads);
  EXPECT_EQ(target.head_dim, config_.head_dim);
  EXPECT_EQ(target.ffn_dim, config_.ffn_dim);
  EXPECT_EQ(target.kv_type, TensorType::kQ8_0);
  for (const LayerShape& layer : shape_.layers) {
    for (const WeightGroup& group : layer.weights) {
      EXPECT_TRUE(std::any_of(target.types.begin(), target.types.end(), [&](TensorType type) {
        return InfoOf(type).name == group.type;
      })) << group.type;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryFamily, FamilyShape, ::testing::ValuesIn(TinyModels()),
                         [](const auto& tiny) {
                           std::string name = std::filesystem::path(tiny.param).stem().string();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(FamilyShapes, ThereAreModelsWithWindowsAndWithExperts) {
  int with_windows = 0;
  int with_experts = 0;
  for (const std::string& path : TinyModels()) {
    const ModelConfig config = ReadModelConfig(GgufFile::Open(path).value()).value();
    with_windows += std::any_of(config.layer_configs.begin(), config.layer_configs.end(),
                                [](const LayerConfig& layer) { return layer.window > 0; });
    with_experts += config.experts > 0;
  }
  EXPECT_GE(with_windows, 4);
  EXPECT_GE(with_experts, 3);
}

}  // namespace
}  // namespace shoal

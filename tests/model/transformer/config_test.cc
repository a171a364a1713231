// Proves that a config holds what the metadata says, with GGUF's defaults for what is missing, and
// that metadata which is absent, absurd or at odds with the tensors is refused by name.
#include "model/transformer/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "tests/model/transformer/small_model.h"
#include "tests/model/transformer/stage_harness.h"

namespace shoal::testing {
namespace {

using ::testing::HasSubstr;

TEST(ConfigTest, FillsInWhatIsMissing) {
  SmallModel model;
  model.Unset("attention.head_count_kv");
  model.tensors.erase("output.weight");
  const ModelConfig config = ReadModelConfig(*model.Make()).value();
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.layers, 3);
  EXPECT_EQ(config.model_dim, 256);
  EXPECT_EQ(config.heads, 4);
  EXPECT_EQ(config.kv_heads, 4);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.vocab_size, 96);
  EXPECT_EQ(config.attention_scale, 0.125f);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_EQ(config.family.qk_norm, QkNorm::kNone);
  EXPECT_EQ(config.rope.layout, RopeLayout::kAdjacent);
  EXPECT_EQ(config.rope.dim, 64);
  EXPECT_EQ(config.rope.base, 10000);
  EXPECT_EQ(config.rope.scaling, RopeScaling::kNone);
  EXPECT_TRUE(config.rope.frequency_factors.empty());
  EXPECT_EQ(config.KvBytesPerToken(3, TensorType::kF16), 3 * 2 * 2 * 4 * 64);
}

TEST(ConfigTest, ReadsWhatIsThere) {
  SmallModel model("qwen3");
  model.Set("attention.key_length", 32);
  model.Set("attention.value_length", 32);
  model.Set("rope.dimension_count", 16);
  model.SetFloat("attention.scale", 0.5f);
  model.SetFloat("rope.freq_base", 1e6f);
  model.SetString("rope.scaling.type", "yarn");
  model.SetFloat("rope.scaling.factor", 4);
  model.SetFloat("rope.scaling.attn_factor", 1.5f);
  model.Set("rope.scaling.original_context_length", 128);
  model.tensors["rope_freqs.weight"] = {TensorType::kF32, {8}};
  const ModelConfig config = ReadModelConfig(*model.Make()).value();
  EXPECT_EQ(config.family.qk_norm, QkNorm::kHeads);
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_EQ(config.head_dim, 32);
  EXPECT_EQ(config.attention_scale, 0.5f);
  EXPECT_EQ(config.rope.layout, RopeLayout::kHalves);
  EXPECT_EQ(config.rope.dim, 16);
  EXPECT_EQ(config.rope.base, 1e6);
  EXPECT_EQ(config.rope.scaling, RopeScaling::kYarn);
  EXPECT_EQ(config.rope.factor, 4);
  EXPECT_EQ(config.rope.attn_factor, 1.5);
  EXPECT_EQ(config.rope.original_context, 128);
  EXPECT_EQ(config.rope.frequency_factors.size(), 8u);
}

TEST(ConfigTest, KnowsTheOldNameOfLinearScaling) {
  SmallModel model;
  model.SetFloat("rope.scale_linear", 2);
  ModelConfig config = ReadModelConfig(*model.Make()).value();
  EXPECT_EQ(config.rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(config.rope.factor, 2);

  model.SetString("rope.scaling.type", "none");
  config = ReadModelConfig(*model.Make()).value();
  EXPECT_EQ(config.rope.scaling, RopeScaling::kNone);
  EXPECT_EQ(config.rope.factor, 1);
}

// Which layers have a window and how they turn q and k.
TEST(ConfigTest, LayersDifferAsTheFamilySays) {
  const auto layers_of = [](const std::string& architecture, bool window) {
    SmallModel model(architecture);
    if (window) model.Set("attention.sliding_window", 7);
    model.Set("block_count", 8);
    model.tensors["blk.7.attn_output.weight"] = {TensorType::kF32, {256, 256}};
    if (architecture == "gpt-oss") model.UseExperts(4, 2);
    std::string layers;
    const ModelConfig config = ReadModelConfig(*model.Make()).value();
    for (const LayerConfig& layer : config.layer_configs) {
      EXPECT_TRUE(layer.window == 0 || layer.window == 7);
      layers += layer.window != 0 ? 'w' : '-';
      layers += layer.rope == LayerRope::kWindow ? 'r' : layer.rope == LayerRope::kNone ? 'n' : '-';
    }
    return layers;
  };
  EXPECT_EQ(layers_of("llama", false), "----------------");
  EXPECT_EQ(layers_of("gemma2", true), "w---w---w---w---");
  EXPECT_EQ(layers_of("gpt-oss", true), "w---w---w---w---");
  EXPECT_EQ(layers_of("gemma3", true), "wrwrwrwrwr--wrwr");
  EXPECT_EQ(layers_of("olmo2", true), "wrwrwr--wrwrwr--");
  EXPECT_EQ(layers_of("phi3", false), "----------------");
  EXPECT_EQ(layers_of("phi3", true), "w-w-w-w-w-w-w-w-");
  EXPECT_EQ(layers_of("smollm3", false), "-------n-------n");
}

TEST(ConfigTest, ReadsScalesAndCaps) {
  SmallModel granite("granite");
  granite.SetFloat("embedding_scale", 12);
  granite.SetFloat("residual_scale", 0.25f);
  granite.SetFloat("logit_scale", 8);
  granite.SetFloat("attention.scale", 0.015625f);
  ModelConfig config = ReadModelConfig(*granite.Make()).value();
  EXPECT_EQ(config.embedding_scale, 12);
  EXPECT_EQ(config.residual_scale, 0.25f);
  EXPECT_EQ(config.logit_scale, 0.125f);
  EXPECT_EQ(config.attention_scale, 0.015625f);

  SmallModel gemma("gemma2");
  gemma.Set("attention.sliding_window", 7);
  config = ReadModelConfig(*gemma.Make()).value();
  EXPECT_EQ(config.embedding_scale, 16);
  EXPECT_EQ(config.attention_softcap, 50);
  EXPECT_EQ(config.final_softcap, 30);
}

TEST(ConfigTest, OtherArchitecturesAreRefusedWithTheListOfOurs) {
  const auto config = ReadModelConfig(*SmallModel("gemma").Make());
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error().code, ErrorCode::kUnimplemented);
  EXPECT_THAT(config.error().message, HasSubstr("'gemma'"));
  EXPECT_THAT(config.error().message, HasSubstr("llama, qwen2, qwen3"));
}

struct BadModel {
  std::string name;
  std::function<void(SmallModel&)> damage;
  ErrorCode code;
  std::vector<std::string> message_parts;  // the field and the values that disagree
};

class BadConfigTest : public ::testing::TestWithParam<BadModel> {};

TEST_P(BadConfigTest, IsRefusedByName) {
  SmallModel model;
  GetParam().damage(model);
  const auto config = ReadModelConfig(*model.Make());
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error().code, GetParam().code) << config.error().message;
  for (const std::string& part : GetParam().message_parts) {
    EXPECT_THAT(config.error().message, HasSubstr(part));
  }
}

constexpr ErrorCode kInvalid = ErrorCode::kInvalidArgument;
const BadModel kBadModels[] = {
    {"NoHeads",
     [](SmallModel& m) { m.Set("attention.head_count", 0); },
     kInvalid,
     {"llama.attention.head_count", "has 0"}},
    {"ManyHeads",
     [](SmallModel& m) { m.Set("attention.head_count", 0xffffffff); },
     kInvalid,
     {"llama.attention.head_count", "4294967295"}},
    {"KvHeadsDoNotDivide",
     [](SmallModel& m) { m.Set("attention.head_count_kv", 3); },
     kInvalid,
     {"llama.attention.head_count_kv", "3", "4"}},
    {"NoKvHeads",
     [](SmallModel& m) { m.Set("attention.head_count_kv", 0); },
     kInvalid,
     {"llama.attention.head_count_kv", "has 0"}},
    {"HeadsDoNotDivideTheWidth",
     [](SmallModel& m) {
       m.Set("attention.head_count", 6);
       m.Set("attention.head_count_kv", 6);
     },
     kInvalid,
     {"6", "256"}},
    {"OddHead",
     [](SmallModel& m) { m.Set("attention.key_length", 33); },
     kInvalid,
     {"llama.attention.key_length", "33"}},
    {"WideHead",
     [](SmallModel& m) { m.Set("attention.key_length", 514); },
     kInvalid,
     {"llama.attention.key_length", "514"}},
    {"ValuesOfAnotherWidth",
     [](SmallModel& m) { m.Set("attention.value_length", 32); },
     ErrorCode::kUnimplemented,
     {"llama.attention.value_length", "32", "64"}},
    {"NoLayers",
     [](SmallModel& m) { m.Set("block_count", 0); },
     kInvalid,
     {"llama.block_count", "has 0"}},
    {"LayersWithoutTensors",
     [](SmallModel& m) { m.Set("block_count", 1000); },
     kInvalid,
     {"llama.block_count", "1000", "blk.999.attn_output.weight"}},
    {"AbsurdlyManyLayers",
     [](SmallModel& m) { m.Set("block_count", 0x7fffffff); },
     kInvalid,
     {"llama.block_count", "2147483647"}},
    {"NoLayerCount",
     [](SmallModel& m) { m.Unset("block_count"); },
     ErrorCode::kNotFound,
     {"llama.block_count"}},
    {"NoEpsilon",
     [](SmallModel& m) { m.Unset("attention.layer_norm_rms_epsilon"); },
     ErrorCode::kNotFound,
     {"llama.attention.layer_norm_rms_epsilon"}},
    {"EpsilonNotANumber",
     [](SmallModel& m) { m.SetFloat("attention.layer_norm_rms_epsilon", NAN); },
     kInvalid,
     {"llama.attention.layer_norm_rms_epsilon", "nan"}},
    {"AnotherWidthThanTheEmbedding",
     [](SmallModel& m) { m.Set("embedding_length", 128); },
     kInvalid,
     {"token_embd.weight", "256", "llama.embedding_length", "128"}},
    {"NoEmbedding",
     [](SmallModel& m) { m.tensors.erase("token_embd.weight"); },
     ErrorCode::kNotFound,
     {"token_embd.weight"}},
    {"ExpertsOfAFamilyWithout",
     [](SmallModel& m) {
       m = SmallModel("qwen2");
       m.Set("expert_count", 4);
     },
     ErrorCode::kUnimplemented,
     {"qwen2.expert_count", "4"}},
    {"NoExpertsOfAFamilyWith",
     [](SmallModel& m) { m = SmallModel("qwen3moe"); },
     kInvalid,
     {"qwen3moe.expert_count", "has 0"}},
    {"AbsurdlyManyExperts",
     [](SmallModel& m) { m.Set("expert_count", 0x7fffffff); },
     kInvalid,
     {"llama.expert_count", "2147483647"}},
    {"NoUsedExperts",
     [](SmallModel& m) { m.Set("expert_count", 4); },
     ErrorCode::kNotFound,
     {"llama.expert_used_count"}},
    {"MoreUsedExpertsThanThereAre",
     [](SmallModel& m) { m.UseExperts(4, 5); },
     kInvalid,
     {"llama.expert_used_count is 5", "llama.expert_count is 4"}},
    {"NoWindow",
     [](SmallModel& m) { m = SmallModel("gemma2"); },
     ErrorCode::kNotFound,
     {"gemma2.attention.sliding_window"}},
    {"WindowOfNothing",
     [](SmallModel& m) {
       m = SmallModel("gemma2");
       m.Set("attention.sliding_window", 0);
     },
     kInvalid,
     {"gemma2.attention.sliding_window", "has 0"}},
    {"NegativeSoftCap",
     [](SmallModel& m) {
       m = SmallModel("gemma2");
       m.SetFloat("attn_logit_softcapping", -50);
     },
     kInvalid,
     {"gemma2.attn_logit_softcapping", "-50"}},
    {"LogitsDividedByZero",
     [](SmallModel& m) {
       m = SmallModel("granite");
       m.SetFloat("logit_scale", 0);
     },
     kInvalid,
     {"granite.logit_scale", "has 0"}},
    {"ShortFactorsAlone",
     [](SmallModel& m) {
       m = SmallModel("phi3");
       m.tensors["rope_factors_short.weight"] = {TensorType::kF32, {32}};
     },
     kInvalid,
     {"rope_factors_short.weight", "without rope_factors_long.weight"}},
    {"WrongLongFactorCount",
     [](SmallModel& m) {
       m = SmallModel("phi3");
       m.tensors["rope_factors_short.weight"] = {TensorType::kF32, {32}};
       m.tensors["rope_factors_long.weight"] = {TensorType::kF32, {16}};
     },
     kInvalid,
     {"rope_factors_long.weight", "[32]", "[16]"}},
    {"NoLayerNormEpsilon",
     [](SmallModel& m) { m = SmallModel("starcoder2"); },
     ErrorCode::kNotFound,
     {"starcoder2.attention.layer_norm_epsilon"}},
    {"OddRope",
     [](SmallModel& m) { m.Set("rope.dimension_count", 63); },
     kInvalid,
     {"llama.rope.dimension_count", "63"}},
    {"RopeWiderThanTheHead",
     [](SmallModel& m) { m.Set("rope.dimension_count", 66); },
     kInvalid,
     {"llama.rope.dimension_count", "66", "64"}},
    {"NegativeRopeBase",
     [](SmallModel& m) { m.SetFloat("rope.freq_base", -1); },
     kInvalid,
     {"llama.rope.freq_base", "-1"}},
    {"UnknownScaling",
     [](SmallModel& m) { m.SetString("rope.scaling.type", "longrope"); },
     ErrorCode::kUnimplemented,
     {"llama.rope.scaling.type", "longrope", "none, linear, yarn"}},
    {"WrongFactorCount",
     [](SmallModel& m) {
       m.tensors["rope_freqs.weight"] = {TensorType::kF32, {31}};
     },
     kInvalid,
     {"rope_freqs.weight", "[32]", "[31]"}},
    {"NoArchitecture",
     [](SmallModel& m) { m.architecture = ""; },
     ErrorCode::kUnimplemented,
     {"general.architecture", "llama, qwen2, qwen3"}},
};

INSTANTIATE_TEST_SUITE_P(Damage, BadConfigTest, ::testing::ValuesIn(kBadModels),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace shoal::testing

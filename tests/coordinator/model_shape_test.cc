// Proves the planner's view of a model: bytes by layer, KV and activation bytes of small files with
// known sizes, and an error that names the key or tensor for each thing a file may lack.
#include "coordinator/model_shape.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "tests/support/gguf_builder.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// Everything ReadModelShape asks for, without tensors: 3 layers, 64 wide, 4 heads.
GgufBuilder Metadata() {
  GgufBuilder builder;
  builder.AddString("general.architecture", "llama");
  builder.AddUint32("llama.block_count", 3);
  builder.AddUint32("llama.embedding_length", 64);
  builder.AddUint32("llama.attention.head_count", 4);
  return builder;
}

void AddTensors(GgufBuilder& builder) {
  builder.AddTensor("token_embd.weight", TensorType::kF32, {64, 10});
  builder.AddTensor("blk.0.attn_q.weight", TensorType::kF32, {64, 1});
  builder.AddTensor("blk.2.attn_q.weight", TensorType::kF16, {64, 3});
  builder.AddTensor("blk.0.ffn_up.weight", TensorType::kQ4_0, {64, 2});
  builder.AddTensor("blk.1.attn_norm.weight", TensorType::kF32, {64});
  builder.AddTensor("output_norm.weight", TensorType::kF32, {64});
}

Result<ModelShape> Read(const GgufBuilder& builder, TensorType kv_type = TensorType::kF16) {
  const BuiltGguf built = builder.Build();
  ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Parse(built.span(), "test.gguf"));
  return ReadModelShape(file, kv_type);
}

void ExpectRefused(const Result<ModelShape>& shape, const std::string& named) {
  ASSERT_FALSE(shape.ok()) << named;
  EXPECT_THAT(shape.error().message, HasSubstr(named));
}

TEST(ModelShape, CountsTheBytesOfEachLayer) {
  GgufBuilder builder = Metadata();
  builder.AddUint32("llama.attention.head_count_kv", 2);
  AddTensors(builder);
  builder.AddTensor("output.weight", TensorType::kF16, {64, 10});
  const Result<ModelShape> shape = Read(builder);
  ASSERT_TRUE(shape.ok()) << shape.error().message;
  ASSERT_EQ(shape->layer_count(), 3);
  // Q4_0 has 18 bytes for 32 values.
  EXPECT_THAT(shape->layers[0].weights, UnorderedElementsAre(WeightGroup{"F32", 256, 64, 1},
                                                             WeightGroup{"Q4_0", 72, 128, 1}));
  EXPECT_EQ(shape->layers[0].elementwise_values, (64 + 1) + (64 + 2));  // inputs and outputs
  EXPECT_THAT(shape->layers[1].weights, IsEmpty());
  EXPECT_EQ(shape->layers[1].vector_bytes, 256);
  EXPECT_THAT(shape->layers[2].weights, ElementsAre(WeightGroup{"F16", 384, 192, 1}));
  EXPECT_THAT(shape->embedding, ElementsAre(WeightGroup{"F32", 2560, 640, 1}));
  EXPECT_THAT(shape->head, ElementsAre(WeightGroup{"F16", 1280, 640, 1}));
  for (const LayerShape& layer : shape->layers) {
    EXPECT_EQ(layer.kv_bytes_per_token, 2 * 2 * 16 * 2);       // k and v, heads, width, f16
    EXPECT_EQ(layer.attention_macs_per_position, 2 * 4 * 16);  // with k and with v, heads, width
    EXPECT_EQ(layer.activation_bytes, 256);
  }
  EXPECT_EQ(BytesPerToken(*shape), 256 + 72 + 256 + 384 + 1280);
  EXPECT_EQ(MacsPerToken(*shape), 64 + 128 + 192 + 640);
}

TEST(ModelShape, ATokenReadsTheExpertsItUses) {
  GgufBuilder builder = Metadata();
  builder.AddUint32("llama.expert_count", 4);
  builder.AddUint32("llama.expert_used_count", 1);
  AddTensors(builder);
  builder.AddTensor("blk.1.ffn_gate_inp.weight", TensorType::kF32, {64, 4});
  builder.AddTensor("blk.1.ffn_up_exps.weight", TensorType::kF16, {64, 2, 4});
  const Result<ModelShape> shape = Read(builder);
  ASSERT_TRUE(shape.ok()) << shape.error().message;
  EXPECT_THAT(shape->layers[1].weights,
              UnorderedElementsAre(WeightGroup{"F32", 1024, 256, 1},
                                   WeightGroup{"F16", 1024, 512, 1, 4, 1}));
  EXPECT_EQ(BytesPerToken(shape->layers[1].weights), 1024 + 256);
}

TEST(ModelShape, RefusesMoreUsedExpertsThanThereAre) {
  GgufBuilder builder = Metadata();
  builder.AddUint32("llama.expert_count", 4);
  builder.AddUint32("llama.expert_used_count", 5);
  ExpectRefused(Read(builder), "llama.expert_used_count: 5 is outside [1, 4]");
}

TEST(ModelShape, ATiedHeadWeighsWhatTheEmbeddingWeighs) {
  GgufBuilder builder = Metadata();
  AddTensors(builder);
  const Result<ModelShape> shape = Read(builder);
  ASSERT_TRUE(shape.ok());
  EXPECT_EQ(shape->head, shape->embedding);
  EXPECT_EQ(ResidentBytes(shape->head), 2560);
}

TEST(ModelShape, KvBytesFollowTheHeadsTheirWidthAndTheType) {
  EXPECT_EQ(Read(Metadata())->layers[0].kv_bytes_per_token, 2 * 4 * 16 * 2);
  EXPECT_EQ(Read(Metadata(), TensorType::kF32)->layers[0].kv_bytes_per_token, 2 * 4 * 16 * 4);
  EXPECT_EQ(Read(Metadata(), TensorType::kQ8_0)->layers[0].kv_bytes_per_token, 2 * 4 * (16 + 2));
  GgufBuilder wide = Metadata();
  wide.AddUint32("llama.attention.key_length", 128);
  EXPECT_EQ(Read(wide)->layers[0].kv_bytes_per_token, 2 * 4 * 128 * 2);
}

// Two layers of four see all; the others see what the file says.
TEST(ModelShape, WindowsAreThoseOfTheFamily) {
  GgufBuilder builder;
  builder.AddString("general.architecture", "gemma2");
  builder.AddUint32("gemma2.block_count", 4);
  builder.AddUint32("gemma2.embedding_length", 64);
  builder.AddUint32("gemma2.attention.head_count", 4);
  builder.AddUint32("gemma2.attention.sliding_window", 1024);
  const Result<ModelShape> shape = Read(builder);
  ASSERT_TRUE(shape.ok()) << shape.error().message;
  std::vector<int32_t> windows;
  for (const LayerShape& layer : shape->layers) windows.push_back(layer.attention_window);
  EXPECT_THAT(windows, ElementsAre(1024, 0, 1024, 0));
}

TEST(ModelShape, FamiliesWithoutWindowsIgnoreOne) {
  GgufBuilder builder = Metadata();
  builder.AddUint32("llama.attention.sliding_window", 1024);
  EXPECT_EQ(Read(builder)->layers[0].attention_window, 0);
}

TEST(ModelShape, HeadCountsMayDifferByLayer) {
  const auto with = [](const std::vector<int32_t>& kv_heads) {
    GgufBuilder builder = Metadata();
    std::vector<std::string> elements;
    for (const int32_t heads : kv_heads) elements.push_back(Encode(heads));
    builder.AddRaw("llama.attention.head_count_kv", GgufTypeNumber::kArray,
                   EncodeArray(GgufTypeNumber::kInt32, elements));
    return Read(builder);
  };
  const Result<ModelShape> shape = with({1, 2, 4});
  ASSERT_TRUE(shape.ok()) << shape.error().message;
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(shape->layers[i].kv_bytes_per_token, 2 * (1 << i) * 16 * 2);
  }
  ExpectRefused(with({1, 2}), "2 values for 3 layers");
  ExpectRefused(with({1, 2, 0}), "head_count_kv: 0 is outside");
  ExpectRefused(with({1, 2, 5}), "5 KV heads");
}

TEST(ModelShape, NamesTheKeyThatIsMissing) {
  GgufBuilder builder;
  ExpectRefused(Read(builder), "general.architecture");
  builder.AddString("general.architecture", "llama");
  ExpectRefused(Read(builder), "llama.block_count");
  builder.AddUint32("llama.block_count", 3);
  ExpectRefused(Read(builder), "llama.embedding_length");
  builder.AddUint32("llama.embedding_length", 64);
  ExpectRefused(Read(builder), "llama.attention.head_count");
  builder.AddUint32("llama.attention.head_count", 4);
  EXPECT_TRUE(Read(builder).ok());
}

TEST(ModelShape, RefusesNumbersOutOfRangeAndNamesThem) {
  const auto with = [](const std::string& key, int32_t value) {
    GgufBuilder builder;
    builder.AddString("general.architecture", "llama");
    for (const auto& [name, usual] :
         {std::pair("llama.block_count", 3), std::pair("llama.embedding_length", 64),
          std::pair("llama.attention.head_count", 4), std::pair("llama.attention.head_count_kv", 2),
          std::pair("llama.attention.key_length", 16)}) {
      builder.AddInt32(name, key == name ? value : usual);
    }
    return Read(builder);
  };
  ASSERT_TRUE(with("", 0).ok());
  for (const int32_t value : {0, -1, 5000}) {
    ExpectRefused(with("llama.block_count", value), fmt::format("llama.block_count: {}", value));
  }
  for (const char* key : {"llama.embedding_length", "llama.attention.head_count"}) {
    for (const int32_t value : {0, -1, 1 << 21}) {
      ExpectRefused(with(key, value), fmt::format("{}: {}", key, value));
    }
  }
  for (const int32_t value : {0, -1}) {
    ExpectRefused(with("llama.attention.head_count_kv", value),
                  fmt::format("llama.attention.head_count_kv: {}", value));
  }
  ExpectRefused(with("llama.attention.head_count_kv", 5), "5 KV heads");  // more than heads
  for (const int32_t value : {0, -1, 1 << 21}) {
    ExpectRefused(with("llama.attention.key_length", value), fmt::format("width {}", value));
  }
}

TEST(ModelShape, RefusesATensorOfALayerThatDoesNotExist) {
  for (const char* name : {"blk.3.attn_q.weight", "blk.-1.attn_q.weight", "blk.x.attn_q.weight",
                           "blk..weight", "blk.99999999999999999999.attn_q.weight"}) {
    GgufBuilder builder = Metadata();
    builder.AddTensor(name, TensorType::kF32, {64});
    const Result<ModelShape> shape = Read(builder);
    ExpectRefused(shape, name);
    ExpectRefused(shape, "3 layers");
  }
}

TEST(ContextLength, IsReadAndBounded) {
  const auto read = [](int32_t length) -> Result<int32_t> {
    GgufBuilder builder = Metadata();
    builder.AddInt32("llama.context_length", length);
    const BuiltGguf built = builder.Build();
    ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Parse(built.span(), "test.gguf"));
    return ReadContextLength(file);
  };
  EXPECT_EQ(*read(8192), 8192);
  for (const int32_t length : {0, -1, (1 << 20) + 1}) {
    const Result<int32_t> refused = read(length);
    ASSERT_FALSE(refused.ok());
    EXPECT_THAT(refused.error().message,
                HasSubstr(fmt::format("llama.context_length: {}", length)));
  }
}

}  // namespace
}  // namespace shoal

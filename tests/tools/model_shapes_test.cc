// Proves the built-in shapes by the parameter counts that the models' makers publish, by bytes
// counted by hand, and that every shape can be planned with.
#include "tools/model_shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "partitioner/problem.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

int64_t Macs(const std::vector<WeightGroup>& groups) {
  int64_t macs = 0;
  for (const WeightGroup& group : groups) macs += group.macs;
  return macs;
}

// Of all matrices and norms, as published counts go: a tied head counts once.
int64_t Parameters(const ModelShape& shape, bool tied, int64_t dim) {
  int64_t count = Macs(shape.embedding) + (tied ? 0 : Macs(shape.head)) + dim;
  for (const LayerShape& layer : shape.layers)
    count += Macs(layer.weights) + layer.vector_bytes / 4;
  return count;
}

TEST(NamedShape, HasTheParametersThatArePublished) {
  const auto count = [](const char* name, bool tied, int64_t dim) {
    return Parameters(*NamedShape(name, TensorType::kF16), tied, dim);
  };
  EXPECT_EQ(count("smollm2-135m", true, 576), 134'515'008);
  EXPECT_EQ(count("1b-q4_0", false, 2048), 1'100'048'384);
  EXPECT_EQ(count("3b-q4_k", true, 3072), 3'212'749'824);
  EXPECT_EQ(count("7b-q4_0", false, 4096), 6'738'415'616);
  EXPECT_EQ(count("8b-q4_k", false, 4096), 8'030'261'248);
  EXPECT_EQ(count("70b-q4_k", false, 8192), 70'553'706'496);
  EXPECT_EQ(count("8x7b-q4_k", false, 4096), 46'702'792'704);
}

TEST(NamedShape, ATokenReadsTheExpertsItUses) {
  const ModelShape shape = *NamedShape("8x7b-q4_k", TensorType::kF16);
  const LayerShape& layer = shape.layers[0];
  ASSERT_EQ(layer.weights.size(), 3U);
  const int64_t expert = 3 * int64_t{4096} * 14336 / 256 * 144;  // Q4_K: 144 bytes for 256 values
  EXPECT_EQ(layer.weights[2].bytes, 8 * expert);
  EXPECT_EQ(BytesPerToken({layer.weights[2]}), 2 * expert);
  EXPECT_EQ(layer.elementwise_values,
            (4096 + 4096) * 2 + (4096 + 1024) * 2 + (4096 + 8) + 2 * 3 * (4096 + 14336));
}

TEST(NamedShape, KvBytesFollowTheType) {
  EXPECT_EQ(NamedShape("8b-q4_k", TensorType::kF16)->layers[0].kv_bytes_per_token, 2 * 8 * 128 * 2);
  EXPECT_EQ(NamedShape("8b-q4_k", TensorType::kQ8_0)->layers[0].kv_bytes_per_token,
            2 * 8 * 128 / 32 * 34);
}

TEST(NamedShape, EveryShapeCanBePlannedWith) {
  DeviceProfile device;
  device.name = "device";
  device.memory_bytes = 1;
  device.speeds = {{"*", {{1, 1e9}}}};
  for (const ShapeName& shape : ShapeNames()) {
    PlanProblem problem;
    problem.model = *NamedShape(shape.name, TensorType::kF16);
    problem.cluster = UniformCluster({device}, {.bytes_per_s = 1e9});
    EXPECT_TRUE(CheckProblem(problem).ok()) << shape.name;
    EXPECT_GT(problem.model.buffer_bytes_per_token, 0) << shape.name;
  }
}

TEST(NamedShape, AnUnknownNameIsAnsweredWithThoseThereAre) {
  const Result<ModelShape> shape = NamedShape("9b", TensorType::kF16);
  ASSERT_FALSE(shape.ok());
  EXPECT_THAT(shape.error().message, HasSubstr("9b"));
  EXPECT_THAT(shape.error().message, HasSubstr("8b-q4_k"));
}

}  // namespace
}  // namespace shoal

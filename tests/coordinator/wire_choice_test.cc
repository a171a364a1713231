// Proves that a codec that was given is charged and used everywhere, and that one that is chosen is
// the most exact whose loss of time does not count: on made-up clusters whose answer is plain.
#include "coordinator/service/wire_choice.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace shoal {
namespace {

constexpr int32_t kWidth = 1024;
const ActivationCodec kInt8 = {ActivationFormat::kInt8, false};
const ActivationCodec kF16 = {ActivationFormat::kF16, false};
const ActivationCodec kF32 = {};

// Three devices with one of three layers each, which take 1 ms a token, for prompts of one token;
// links as given, the rest endless.
PlanProblem Problem(double first_bytes_per_s, double second_bytes_per_s) {
  PlanProblem problem;
  LayerShape layer;
  layer.weights = {{"F32", 1'000'000, 1'000'000, 1}};
  layer.activation_bytes = kWidth * int64_t{sizeof(float)};
  problem.model.layers.assign(3, layer);
  DeviceProfile device;
  device.memory_bytes = int64_t{1} << 40;
  device.speeds = {{"*", {{1, 1e9}, {1024, 1e9}}}};
  std::vector<DeviceProfile> devices(3, device);
  for (size_t i = 0; i < devices.size(); ++i)
    devices[i].name = std::string(1, static_cast<char>('a' + i));
  problem.cluster = UniformCluster(std::move(devices), {.bytes_per_s = 1e15});
  problem.workload.prompt_tokens = problem.workload.prefill_chunk = 1;
  problem.cluster.link(0, 1).bytes_per_s = first_bytes_per_s;
  problem.cluster.link(1, 2).bytes_per_s = second_bytes_per_s;
  return problem;
}

std::vector<ActivationCodec> Chosen(WireChoice choice, const PlanProblem& problem) {
  const Result<Plan> plan = EvaluatePlan(problem, {{0, {0, 1}}, {1, {1, 2}}, {2, {2, 3}}}, "given");
  EXPECT_TRUE(plan.ok()) << plan.error().message;
  const Result<std::vector<ActivationCodec>> codecs = ChooseCodecs(choice, problem, *plan);
  EXPECT_TRUE(codecs.ok());
  return *codecs;
}

TEST(WireChoice, AGivenCodecIsUsedOnEveryLink) {
  const ActivationCodec given = {ActivationFormat::kBf16, true};
  EXPECT_EQ(Chosen(given, Problem(1e3, 1e15)), (std::vector<ActivationCodec>(3, given)));
  EXPECT_EQ(Chosen(ActivationCodec{}, Problem(1e3, 1e3)), (std::vector<ActivationCodec>(3, kF32)));
}

TEST(WireChoice, AGivenCodecIsCharged) {
  ModelShape model = Problem(1, 1).model;
  ChargeActivations(kInt8, model);
  EXPECT_EQ(model.layers[0].activation_bytes, kWidth / 32 * 36);
  model = Problem(1, 1).model;
  ChargeActivations(kF16, model);
  EXPECT_EQ(model.layers[2].activation_bytes, kWidth * 2);
  model = Problem(1, 1).model;
  ChargeActivations(std::nullopt, model);
  EXPECT_EQ(model.layers[1].activation_bytes, kWidth / 32 * 36);
}

TEST(WireChoice, FastLinksStayExact) {
  EXPECT_EQ(Chosen(std::nullopt, Problem(1e15, 1e15)), (std::vector<ActivationCodec>(3, kF32)));
}

// 4096 bytes in f32, 2048 in f16, 1152 in int8, beside 3 ms of computing: a link of 1 MB/s is slow
// for both, one of 30 MB/s for f32 alone.
TEST(WireChoice, EachLinkGetsTheMostExactThatItCanAfford) {
  EXPECT_EQ(Chosen(std::nullopt, Problem(1e6, 1e15)),
            (std::vector<ActivationCodec>{kF32, kInt8, kF32}));
  EXPECT_EQ(Chosen(std::nullopt, Problem(1e15, 1e6)),
            (std::vector<ActivationCodec>{kF32, kF32, kInt8}));
  EXPECT_EQ(Chosen(std::nullopt, Problem(1e15, 30e6)),
            (std::vector<ActivationCodec>{kF32, kF32, kF16}));
}

}  // namespace
}  // namespace shoal

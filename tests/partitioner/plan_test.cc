// Proves what a split is charged with, and that a split which is not one is refused with the two
// values that disagree: by hand-counted examples.
#include "partitioner/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMiB = 1 << 20;

DeviceProfile Device(const std::string& name, double bytes_per_s) {
  DeviceProfile device;
  device.name = name;
  device.memory_bytes = 1000 * kMiB;
  device.speeds = {{"*", {{1, bytes_per_s}}}};
  return device;
}

std::vector<WeightGroup> Weights(int64_t bytes) { return {{"Q4_0", bytes, 2 * bytes, 1}}; }

// Four layers of 10, 20, 30 and 40 MiB on two devices, with links that cost nothing to speak of.
PlanProblem SmallProblem() {
  PlanProblem problem;
  for (const int64_t bytes : {10 * kMiB, 20 * kMiB, 30 * kMiB, 40 * kMiB}) {
    LayerShape layer;
    layer.weights = Weights(bytes);
    layer.kv_bytes_per_token = 1024;
    problem.model.layers.push_back(layer);
  }
  problem.model.embedding = Weights(5 * kMiB);
  problem.model.head = Weights(7 * kMiB);
  problem.workload.kv_tokens = 1024;  // 1 MiB for each layer
  problem.cluster = UniformCluster({Device("desk", 100.0 * kMiB), Device("phone", 10.0 * kMiB)},
                                   {.bytes_per_s = 1e12});
  return problem;
}

// Parts of these layers on the devices in their order.
Result<Plan> PlanFor(const PlanProblem& problem, const std::vector<StageRange>& ranges) {
  RETURN_IF_ERROR(CheckProblem(problem));
  std::vector<Placement> placements;
  for (const StageRange& range : ranges) {
    placements.push_back({static_cast<int32_t>(placements.size()), range});
  }
  return EvaluatePlan(problem, placements, "by hand");
}

void ExpectRefused(const PlanProblem& problem, const std::vector<StageRange>& ranges,
                   ErrorCode code, const std::vector<std::string>& named) {
  const Result<Plan> plan = PlanFor(problem, ranges);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code, code);
  for (const std::string& part : named) EXPECT_THAT(plan.error().message, HasSubstr(part));
}

TEST(EvaluatePlan, ChargesEachStageWithWhatItHoldsAndReads) {
  const Result<Plan> plan = PlanFor(SmallProblem(), {{0, 3}, {3, 4}});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->strategy, "by hand");
  ASSERT_EQ(plan->stages.size(), 2U);
  const PlannedStage& first = plan->stages[0];
  EXPECT_EQ(first.device, 0);
  EXPECT_EQ(first.layers.begin, 0);
  EXPECT_EQ(first.layers.end, 3);
  EXPECT_EQ(first.weight_bytes, 65 * kMiB);
  EXPECT_EQ(first.kv_bytes, 3 * kMiB);
  EXPECT_DOUBLE_EQ(first.decode_s, 0.6);  // a row of the embedding is nothing
  const PlannedStage& last = plan->stages[1];
  EXPECT_EQ(last.device, 1);
  EXPECT_EQ(last.weight_bytes, 47 * kMiB);
  EXPECT_EQ(last.kv_bytes, 1 * kMiB);
  EXPECT_DOUBLE_EQ(last.decode_s, 4.7);
}

TEST(EvaluatePlan, HoldsAllExpertsButReadsThoseOfAToken) {
  PlanProblem problem = SmallProblem();
  for (LayerShape& layer : problem.model.layers) {
    layer.weights[0].experts = 10;
    layer.weights[0].experts_used = 1;
  }
  const Result<Plan> plan = PlanFor(problem, {{0, 3}, {3, 4}});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->stages[0].weight_bytes, 65 * kMiB);
  EXPECT_DOUBLE_EQ(plan->stages[0].decode_s, 0.06);
  EXPECT_DOUBLE_EQ(plan->stages[1].decode_s, 1.1);
}

TEST(EvaluatePlan, OneDeviceHoldsEverything) {
  PlanProblem problem = SmallProblem();
  problem.cluster = UniformCluster({Device("desk", 100.0 * kMiB)}, {.bytes_per_s = 1e12});
  const Result<Plan> plan = PlanFor(problem, {{0, 4}});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->stages[0].weight_bytes, 112 * kMiB);
  EXPECT_DOUBLE_EQ(plan->stages[0].decode_s, 1.07);
}

TEST(EvaluatePlan, RefusesRangesThatAreNoSplitAndNamesThem) {
  const PlanProblem problem = SmallProblem();
  const auto bad = ErrorCode::kInvalidArgument;
  ExpectRefused(problem, {}, bad, {"no parts"});
  ExpectRefused(problem, {{0, 2}, {3, 4}}, bad, {"[3, 4)", "layer 2"});  // a gap
  ExpectRefused(problem, {{0, 2}, {1, 4}}, bad, {"[1, 4)", "layer 2"});  // an overlap
  ExpectRefused(problem, {{1, 2}, {2, 4}}, bad, {"[1, 2)", "layer 0"});
  ExpectRefused(problem, {{0, 4}, {4, 4}}, bad, {"[4, 4)"});  // empty
  ExpectRefused(problem, {{0, 2}, {2, 3}}, bad, {"covers 3", "has 4"});
  ExpectRefused(problem, {{0, 2}, {2, 5}}, bad, {"covers 5", "has 4"});
}

// The margin is a fifth: 30 + 5 + 2 MiB need 44.4 MiB.
TEST(EvaluatePlan, RefusesWhatADeviceCannotHoldAndNamesBoth) {
  PlanProblem problem = SmallProblem();
  problem.cluster.devices[0].memory_bytes = 45 * kMiB;
  EXPECT_TRUE(PlanFor(problem, {{0, 2}, {2, 4}}).ok());
  problem.cluster.devices[0].memory_bytes = 44 * kMiB;
  ExpectRefused(problem, {{0, 2}, {2, 4}}, ErrorCode::kResourceExhausted,
                {"desk", "[0, 2)", "44 MiB", "1024 tokens"});
  problem.cluster.devices[0].memory_bytes = 20 * kMiB;
  ExpectRefused(problem, {{0, 2}, {2, 4}}, ErrorCode::kResourceExhausted,
                {"need 44 MiB", "has 20 MiB"});
}

}  // namespace
}  // namespace shoal

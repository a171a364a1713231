// Proves what a split is charged with, and that a split which is not one is refused with the two
// values that disagree: by hand-counted examples.
#include "partitioner/problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMiB = 1 << 20;

// Four layers of 10, 20, 30 and 40 MiB on two devices.
PlanProblem SmallProblem() {
  PlanProblem problem;
  problem.model.layer_weight_bytes = {10 * kMiB, 20 * kMiB, 30 * kMiB, 40 * kMiB};
  problem.model.layer_token_bytes = problem.model.layer_weight_bytes;
  problem.model.embedding_bytes = 5 * kMiB;
  problem.model.head_bytes = 7 * kMiB;
  problem.model.kv_bytes_per_layer_token = 1024;
  problem.kv_tokens = 1024;  // 1 MiB for each layer
  problem.devices = {{"desk", 100.0 * kMiB, 1000 * kMiB}, {"phone", 10.0 * kMiB, 1000 * kMiB}};
  return problem;
}

void ExpectRefused(const PlanProblem& problem, const std::vector<StageRange>& ranges,
                   ErrorCode code, const std::vector<std::string>& named) {
  const Result<Plan> plan = PlanForSplit(problem, ranges, "test");
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code, code);
  for (const std::string& part : named) EXPECT_THAT(plan.error().message, HasSubstr(part));
}

TEST(PlanForSplit, ChargesEachStageWithWhatItHoldsAndReads) {
  const Result<Plan> plan = PlanForSplit(SmallProblem(), {{0, 3}, {3, 4}}, "by hand");
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

TEST(PlanForSplit, HoldsAllExpertsButReadsThoseOfAToken) {
  PlanProblem problem = SmallProblem();
  problem.model.layer_token_bytes = {1 * kMiB, 2 * kMiB, 3 * kMiB, 4 * kMiB};
  const Result<Plan> plan = PlanForSplit(problem, {{0, 3}, {3, 4}}, "experts");
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->stages[0].weight_bytes, 65 * kMiB);
  EXPECT_DOUBLE_EQ(plan->stages[0].decode_s, 0.06);
  EXPECT_DOUBLE_EQ(plan->stages[1].decode_s, 1.1);
}

TEST(PlanForSplit, OneDeviceHoldsEverything) {
  PlanProblem problem = SmallProblem();
  problem.devices.pop_back();
  const Result<Plan> plan = PlanForSplit(problem, {{0, 4}}, "one");
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->stages[0].weight_bytes, 112 * kMiB);
  EXPECT_DOUBLE_EQ(plan->stages[0].decode_s, 1.07);
}

TEST(PlanForSplit, RefusesRangesThatAreNoSplitAndNamesThem) {
  const PlanProblem problem = SmallProblem();
  const auto bad = ErrorCode::kInvalidArgument;
  ExpectRefused(problem, {{0, 4}}, bad, {"1 parts", "2 devices"});
  ExpectRefused(problem, {}, bad, {"0 parts"});
  ExpectRefused(problem, {{0, 2}, {3, 4}}, bad, {"[3, 4)", "layer 2"});  // a gap
  ExpectRefused(problem, {{0, 2}, {1, 4}}, bad, {"[1, 4)", "layer 2"});  // an overlap
  ExpectRefused(problem, {{1, 2}, {2, 4}}, bad, {"[1, 2)", "layer 0"});
  ExpectRefused(problem, {{0, 4}, {4, 4}}, bad, {"[4, 4)"});  // empty
  ExpectRefused(problem, {{0, 2}, {2, 3}}, bad, {"covers 3", "has 4"});
  ExpectRefused(problem, {{0, 2}, {2, 5}}, bad, {"covers 5", "has 4"});
}

// The margin is a fifth: 30 + 5 + 2 MiB need 44.4 MiB.
TEST(PlanForSplit, RefusesWhatADeviceCannotHoldAndNamesBoth) {
  PlanProblem problem = SmallProblem();
  problem.devices[0].memory_bytes = 45 * kMiB;
  EXPECT_TRUE(PlanForSplit(problem, {{0, 2}, {2, 4}}, "test").ok());
  problem.devices[0].memory_bytes = 44 * kMiB;
  ExpectRefused(problem, {{0, 2}, {2, 4}}, ErrorCode::kResourceExhausted,
                {"desk", "[0, 2)", "44 MiB", "1024 tokens"});
  problem.devices[0].memory_bytes = 20 * kMiB;
  ExpectRefused(problem, {{0, 2}, {2, 4}}, ErrorCode::kResourceExhausted,
                {"need 44 MiB", "has 20 MiB"});
}

}  // namespace
}  // namespace shoal

// Proves explanations, the largest context and the decision to re-plan by examples whose answer is
// plain.
#include "partitioner/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "partitioner/largest_context.h"
#include "partitioner/optimal.h"
#include "partitioner/replan.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMiB = 1 << 20;

DeviceProfile Device(const std::string& name, double mib_per_s, int64_t memory_mib) {
  DeviceProfile device;
  device.name = name;
  device.memory_bytes = memory_mib * kMiB;
  device.speeds = {{"*", {{1, mib_per_s * kMiB}}}};
  return device;
}

// Twelve layers of 10 MiB, 12 with the margin; a step on the desk takes 0.1 s for a layer.
PlanProblem Problem(std::vector<DeviceProfile> devices) {
  PlanProblem problem;
  LayerShape layer;
  layer.weights = {{"Q4_0", 10 * kMiB, 0, 1}};
  layer.activation_bytes = 1000;
  problem.model.layers.assign(12, layer);
  problem.workload.kv_tokens = 0;
  problem.cluster = UniformCluster(std::move(devices), {.latency_s = 1e-3, .bytes_per_s = 1e6});
  return problem;
}

Plan Best(const PlanProblem& problem) {
  const Result<Plan> plan = MakeOptimal()->Place(problem);
  EXPECT_TRUE(plan.ok()) << plan.error().message;
  return plan.ok() ? *plan : Plan();
}

TEST(Explain, NamesTheSlowDeviceAndWhatHelpsMost) {
  const PlanProblem problem = Problem({Device("desk", 100, 80), Device("pi", 10, 200)});
  const Plan plan = Best(problem);  // six layers each
  const Explanation why = Explain(problem, plan, 100);
  EXPECT_EQ(why.decode.kind, Bottleneck::Kind::kDevice);
  EXPECT_EQ(why.decode.from, 1);
  EXPECT_NEAR(why.decode.seconds, 6, 1e-9);
  EXPECT_GT(why.decode.share, 0.9);
  EXPECT_EQ(why.throughput.kind, Bottleneck::Kind::kPassage);  // one session
  ASSERT_FALSE(why.changes.empty());
  EXPECT_EQ(why.changes[0].kind, Change::Kind::kMemoryDoubled);  // then the desk holds everything
  EXPECT_EQ(why.changes[0].device, 0);
  EXPECT_NEAR(why.changes[0].before, plan.objective, 1e-12);
  EXPECT_NEAR(why.changes[0].after, 1.2 + 2 * (1e-3 + 128e-6), 1e-9);
  EXPECT_EQ(DescribeChange(problem.cluster, why.changes[0]), "desk with twice the memory");
  EXPECT_EQ(why.not_tried, 0);
  EXPECT_TRUE(std::is_sorted(why.changes.begin(), why.changes.end(),
                             [](const Change& a, const Change& b) { return a.after < b.after; }));
}

TEST(Explain, NamesTheSlowLink) {
  PlanProblem problem = Problem({Device("a", 1000, 80), Device("b", 1000, 80)});
  for (LinkProfile& link : problem.cluster.links) link.latency_s = 0.2;
  problem.cluster.link(0, 1).latency_s = problem.cluster.link(1, 0).latency_s = 1;
  const Plan plan = Best(problem);
  const Explanation why = Explain(problem, plan, 100);
  EXPECT_EQ(why.decode.kind, Bottleneck::Kind::kLink);
  EXPECT_EQ(why.decode.from, plan.stages[0].device);
  EXPECT_EQ(why.decode.to, plan.stages[1].device);
  const auto cable = std::find_if(why.changes.begin(), why.changes.end(), [](const Change& change) {
    return change.kind == Change::Kind::kFastLink && change.device < 2 && change.to < 2;
  });
  ASSERT_NE(cable, why.changes.end());
  EXPECT_NEAR(cable->before - cable->after, 1.001 - kFastLatencyS - 1000 / kFastBytesPerS, 1e-9);
}

TEST(Explain, SaysWhatADeviceLeftOutWouldCost) {
  const PlanProblem problem = Problem({Device("desk", 100, 200), Device("pi", 10, 200)});
  const Plan plan = Best(problem);
  ASSERT_EQ(plan.stages.size(), 1U);
  const Explanation why = Explain(problem, plan, 100);
  ASSERT_EQ(why.left_out.size(), 1U);
  EXPECT_EQ(why.left_out[0].device, 1);
  // One layer on the pi: 0.9 s more, and a hop.
  EXPECT_NEAR(why.left_out[0].objective, plan.objective + 0.9 + 1e-3 + 1e-3, 1e-9);
  EXPECT_NEAR(why.left_out[0].ratio, why.left_out[0].objective / plan.objective, 1e-12);
  const Explanation hurried = Explain(problem, plan, 0);
  EXPECT_EQ(hurried.left_out[0].objective, 0);
  EXPECT_TRUE(hurried.changes.empty());
  EXPECT_GT(hurried.not_tried, 5);
}

TEST(Explain, SaysHowMuchIsMissing) {
  const PlanProblem problem = Problem({Device("a", 100, 50), Device("b", 100, 60)});
  const Shortage shortage = FindShortage(problem);
  EXPECT_EQ(shortage.needed_bytes, 144 * kMiB);
  EXPECT_EQ(shortage.available_bytes, 110 * kMiB);
  EXPECT_EQ(shortage.missing_bytes(), 34 * kMiB);
  const Result<Plan> plan = MakeOptimal()->Place(problem);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(plan.error().message, HasSubstr("34 MiB are missing"));
}

// Six layers each are best: b's 91 MiB are 12.639 MiB for a layer without the margin, so 2.639 MiB
// of KV at 1 KiB a token: 2702 tokens, 84 granules of 32 of them.
TEST(LargestContext, IsTheLargestForWhichAPlanExists) {
  PlanProblem problem = Problem({Device("a", 100, 100), Device("b", 100, 91)});
  for (LayerShape& layer : problem.model.layers) layer.kv_bytes_per_token = 1024;
  const Result<ContextPlan> most = LargestContext(problem, *MakeOptimal(), 32, 1 << 20);
  ASSERT_TRUE(most.ok()) << most.error().message;
  EXPECT_EQ(most->kv_tokens, 2688);
  problem.workload.kv_tokens = most->kv_tokens;
  EXPECT_NEAR(most->plan.objective, Best(problem).objective, 1e-12);
  problem.workload.kv_tokens += 32;
  EXPECT_FALSE(MakeOptimal()->Place(problem).ok());
}

TEST(LargestContext, KeepsToItsLimitAndPassesErrorsOn) {
  PlanProblem problem = Problem({Device("a", 100, 200)});
  EXPECT_EQ(LargestContext(problem, *MakeOptimal(), 32, 1000)->kv_tokens, 992);
  EXPECT_FALSE(LargestContext(problem, *MakeOptimal(), 32, 31).ok());
  EXPECT_FALSE(LargestContext(problem, *MakeOptimal(), 0, 31).ok());
  problem.cluster.devices[0].memory_bytes = kMiB;
  const Result<ContextPlan> none = LargestContext(problem, *MakeOptimal(), 32, 1000);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ErrorCode::kResourceExhausted);
}

// From the pi to the desk: 12 s a token against 1.2 s, 120 MiB over a link of 1 MB/s.
TEST(Replan, MovesIfTheGainOutweighsTheMove) {
  const PlanProblem problem = Problem({Device("desk", 100, 200), Device("pi", 10, 200)});
  const Plan candidate = Best(problem);
  RunningPlan running;
  running.placements = {{1, {0, 12}}};
  const double move_s = 1e-3 + 120.0 * kMiB / 1e6;
  ReplanDecision decision = DecideReplan(problem, running, candidate, {.horizon_s = 200});
  EXPECT_EQ(decision.transfer_bytes, 120 * kMiB);
  EXPECT_NEAR(decision.transfer_s, move_s, 1e-9);
  EXPECT_NEAR(decision.gain, 0.9, 1e-3);
  EXPECT_TRUE(decision.move) << decision.reason;
  decision = DecideReplan(problem, running, candidate, {.horizon_s = 100});
  EXPECT_FALSE(decision.move) << decision.reason;
  running.held = {{{0, 12}}};  // the desk has the layers on its disk
  decision = DecideReplan(problem, running, candidate, {.horizon_s = 100});
  EXPECT_EQ(decision.transfer_bytes, 0);
  EXPECT_TRUE(decision.move) << decision.reason;
  running.live_tokens = 10 * problem.workload.prompt_tokens;
  decision = DecideReplan(problem, running, candidate, {.horizon_s = 1});
  EXPECT_NEAR(decision.rebuild_s, 10 * candidate.prediction.first_token_s, 1e-9);
  EXPECT_FALSE(decision.move) << decision.reason;
}

TEST(Replan, StaysForASmallGain) {
  const PlanProblem problem = Problem({Device("desk", 100, 200), Device("other", 95, 200)});
  RunningPlan running;
  running.placements = {{1, {0, 12}}};
  running.held = {{{0, 12}}};
  const ReplanPolicy patient = {.horizon_s = 1e9, .least_gain = 0.1};
  const ReplanDecision decision = DecideReplan(problem, running, Best(problem), patient);
  EXPECT_FALSE(decision.move);
  EXPECT_THAT(decision.reason, HasSubstr("below 10.0 %"));
  EXPECT_TRUE(DecideReplan(problem, running, Best(problem), {1e9, 0.01}).move);
}

TEST(Replan, LeavesAPlanThatNoLongerHoldsAtOnce) {
  PlanProblem problem = Problem({Device("desk", 100, 200), Device("pi", 10, 200)});
  RunningPlan running;
  running.placements = {{0, {0, 12}}};
  problem.constraints.excluded = {0};  // lost
  const ReplanDecision decision = DecideReplan(problem, running, Best(problem), {.horizon_s = 0});
  EXPECT_TRUE(decision.move);
  EXPECT_THAT(decision.reason, HasSubstr("desk"));
}

}  // namespace
}  // namespace shoal

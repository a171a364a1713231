// Proves every formula of the cost model by numbers worked by hand; each test says the sum.
#include "partitioner/cost_model.h"

#include <gtest/gtest.h>

#include <cmath>

namespace shoal {
namespace {

// 1,000 bytes/s for one token, 500 for 5 at once, 250 for 9.
DeviceProfile Device(const std::string& name) {
  DeviceProfile device;
  device.name = name;
  device.memory_bytes = 1 << 20;
  device.speeds = {{"A", {{1, 1000}, {5, 500}, {9, 250}}}, {"*", {{1, 2000}}}};
  return device;
}

WeightGroup Weights(const std::string& type, int64_t bytes, int32_t matrices) {
  return {type, bytes, 0, matrices};
}

// Two devices, four layers of 100 bytes of type A in two products, a head of 200 bytes of another
// type; links of 0.5 s and 100 bytes/s; steps of 0.01 s.
PlanProblem SmallProblem() {
  PlanProblem problem;
  LayerShape layer;
  layer.weights = {Weights("A", 100, 2)};
  layer.activation_bytes = 10;
  problem.model.layers.assign(4, layer);
  problem.model.head = {Weights("B", 200, 1)};
  problem.cluster =
      UniformCluster({Device("a"), Device("b")}, {.latency_s = 0.5, .bytes_per_s = 100});
  for (DeviceProfile& device : problem.cluster.devices) device.step_s = 0.01;
  problem.workload = {.kv_tokens = 0,
                      .sessions = 1,
                      .prompt_tokens = 8,
                      .output_tokens = 4,
                      .prefill_chunk = 3,
                      .step_token_budget = 1};
  return problem;
}

Plan Evaluate(const PlanProblem& problem, const std::vector<Placement>& placements) {
  const Status checked = CheckProblem(problem);
  EXPECT_TRUE(checked.ok()) << checked.error().message;
  const Result<Plan> plan = EvaluatePlan(problem, placements, "by hand");
  EXPECT_TRUE(plan.ok()) << plan.error().message;
  return plan.ok() ? *plan : Plan();
}

TEST(WeightsSeconds, OfOneTokenAreBytesOverSpeed) {
  EXPECT_DOUBLE_EQ(WeightsSeconds(Device("a"), Weights("A", 300, 0), 1), 0.3);
  EXPECT_DOUBLE_EQ(WeightsSeconds(Device("a"), Weights("B", 300, 0), 1), 0.15);  // any other type
}

// 1 / rate goes from 1 ms at one token to 2 ms at five, and to 4 ms at nine.
TEST(WeightsSeconds, OfABatchLieBetweenTheMeasuredOnes) {
  const DeviceProfile device = Device("a");
  EXPECT_DOUBLE_EQ(WeightsSeconds(device, Weights("A", 100, 0), 5), 0.2);
  EXPECT_DOUBLE_EQ(WeightsSeconds(device, Weights("A", 100, 0), 2), 0.125);
  EXPECT_DOUBLE_EQ(WeightsSeconds(device, Weights("A", 100, 0), 3.5), 0.1625);
  EXPECT_DOUBLE_EQ(WeightsSeconds(device, Weights("A", 100, 0), 7), 0.3);
}

TEST(WeightsSeconds, OfALargerBatchGrowInProportionAndOfASmallerOneStay) {
  const DeviceProfile device = Device("a");
  EXPECT_DOUBLE_EQ(WeightsSeconds(device, Weights("A", 100, 0), 18), 0.8);
  EXPECT_DOUBLE_EQ(WeightsSeconds(device, Weights("B", 100, 0), 4), 0.2);
  EXPECT_DOUBLE_EQ(WeightsSeconds(device, Weights("A", 100, 0), 0.5), 0.1);
}

TEST(WeightsSeconds, EveryProductHasItsOwnCost) {
  DeviceProfile device = Device("a");
  device.matrix_s = 0.02;
  EXPECT_DOUBLE_EQ(WeightsSeconds(device, Weights("A", 100, 3), 1), 0.16);
}

// One token reaches a quarter of the experts: 100 bytes, for one token each. Two tokens reach
// 1 - (3/4)^2 = 7/16: 175 bytes, for 2 * 1/4 / (7/16) = 8/7 tokens each, so 1/28 of the way from
// 1 ms to 2 ms a byte.
TEST(WeightsSeconds, OfExpertsAreThoseThatTheTokensReach) {
  WeightGroup experts = {"A", 400, 0, 0, 8, 2};
  EXPECT_DOUBLE_EQ(WeightsSeconds(Device("a"), experts, 1), 0.1);
  EXPECT_NEAR(WeightsSeconds(Device("a"), experts, 2), 0.175 * (1 + 1 / 28.0), 1e-15);
  experts.experts_used = 8;
  EXPECT_DOUBLE_EQ(WeightsSeconds(Device("a"), experts, 5), 0.8);  // as dense weights
}

TEST(LayerSeconds, AddWeightsAttentionAndTheRest) {
  DeviceProfile device = Device("a");
  device.layer_s = 0.001;
  device.elementwise_values_per_s = 1000;
  device.attention_decode_macs_per_s = 10000;
  LayerShape layer;
  layer.weights = {Weights("A", 100, 0), Weights("B", 100, 0)};
  layer.attention_macs_per_position = 8;
  layer.elementwise_values = 7;
  // 0.001 + 0.1 + 0.05 + 50 * 8 / 10000 + 7 / 1000
  EXPECT_NEAR(LayerSeconds(device, layer, {StepKind::kDecode, 1, 50}), 0.198, 1e-15);
  // five tokens: 0.001 + 0.2 + 0.25 + 5 * 0.04 + 5 * 0.007
  EXPECT_NEAR(LayerSeconds(device, layer, {StepKind::kDecode, 5, 50}), 0.686, 1e-15);
}

TEST(LayerSeconds, AttentionHasASpeedOfItsOwnInPrefillAndAWindow) {
  DeviceProfile device = Device("a");
  device.attention_decode_macs_per_s = 100;
  LayerShape layer;
  layer.attention_macs_per_position = 10;
  EXPECT_DOUBLE_EQ(LayerSeconds(device, layer, {StepKind::kPrefill, 4, 5}), 2);  // as decode
  device.attention_prefill_macs_per_s = 400;
  EXPECT_DOUBLE_EQ(LayerSeconds(device, layer, {StepKind::kPrefill, 4, 5}), 0.5);
  EXPECT_DOUBLE_EQ(LayerSeconds(device, layer, {StepKind::kDecode, 4, 5}), 2);
  layer.attention_window = 2;
  EXPECT_DOUBLE_EQ(LayerSeconds(device, layer, {StepKind::kPrefill, 4, 5}), 0.2);
  EXPECT_DOUBLE_EQ(LayerSeconds(device, layer, {StepKind::kPrefill, 4, 1}), 0.1);
}

TEST(Steps, AreThoseOfTheWorkload) {
  Workload workload = SmallProblem().workload;  // prompt of 8, answer of 4, chunks of 3
  EXPECT_DOUBLE_EQ(DecodeStep(workload).positions, 10);
  EXPECT_DOUBLE_EQ(DecodeStep(workload).tokens, 1);
  EXPECT_EQ(PrefillChunks(workload), 3);
  EXPECT_DOUBLE_EQ(PrefillStep(workload).tokens, 8 / 3.0);
  EXPECT_DOUBLE_EQ(PrefillStep(workload).positions, 4);
  workload.sessions = 10;
  EXPECT_EQ(StepsInFlight(workload, 4), 4);
  EXPECT_DOUBLE_EQ(BatchedDecodeStep(workload, 4).tokens, 2.5);
  EXPECT_EQ(StepsInFlight(workload, 20), 10);
  EXPECT_DOUBLE_EQ(BatchedDecodeStep(workload, 20).tokens, 1);
}

// Control hops 2 * (0.5 + 128 / 100), stages 0.01 + 0.1 and 0.01 + 0.3 + 0.1, hop 0.5 + 10 / 100.
TEST(Decode, IsTheSumOfStagesAndHops) {
  const Plan plan = Evaluate(SmallProblem(), {{0, {0, 1}}, {1, {1, 4}}});
  EXPECT_NEAR(plan.prediction.decode_s, 3.56 + 0.11 + 0.41 + 0.6, 1e-12);
  EXPECT_NEAR(plan.stages[0].decode_s, 0.11, 1e-12);
  EXPECT_NEAR(plan.stages[0].decode_hop_s, 0.6, 1e-12);
  EXPECT_NEAR(plan.stages[1].decode_s, 0.41, 1e-12);
  EXPECT_NEAR(plan.stages[1].decode_hop_s, 1.78, 1e-12);
}

TEST(Decode, IsGivenByLayerWhereTheProfileGivesIt) {
  PlanProblem problem = SmallProblem();
  problem.cluster.devices[1].given_layer_s = {9, 0.2, 0.3, 0.4};
  const Plan plan = Evaluate(problem, {{0, {0, 1}}, {1, {1, 4}}});
  EXPECT_NEAR(plan.stages[1].decode_s, 0.01 + 0.9, 1e-12);  // no head: it is one of the layers
  EXPECT_NEAR(plan.stages[1].prefill_s, 0.01 + 0.9 * 8 / 3, 1e-12);
}

// A chunk has 8/3 tokens: 5/12 of the way from 1 ms to 2 ms, so 0.1 * 17/12 a layer. The hop's link
// is busy for 0.1 * 8/3, less than the second stage for 0.01 + 3 * 0.1 * 17/12 = 0.435.
TEST(FirstToken, IsAPassageOfAChunkAndTheSlowestStageForEachOther) {
  const Plan plan = Evaluate(SmallProblem(), {{0, {0, 1}}, {1, {1, 4}}});
  const double first_s = 0.01 + 0.1 * 17 / 12;
  const double passage_s = 3.56 + first_s + (0.5 + 0.8 / 3) + 0.435;
  EXPECT_NEAR(plan.prediction.first_token_s, passage_s + 0.1 + 2 * 0.435, 1e-12);
}

TEST(FirstToken, WaitsForTheLinkWhereThatIsSlowest) {
  PlanProblem problem = SmallProblem();
  problem.cluster.link(0, 1).bytes_per_s = 10;
  const Plan plan = Evaluate(problem, {{0, {0, 1}}, {1, {1, 4}}});
  const double hop_s = 8 / 3.0;
  const double passage_s = 3.56 + 0.01 + 0.1 * 17 / 12 + (0.5 + hop_s) + 0.435;
  EXPECT_NEAR(plan.prediction.first_token_s, passage_s + 0.1 + 2 * hop_s, 1e-12);
}

// One session: nothing overlaps.
TEST(Throughput, OfOneSessionIsOneTokenForEachPassage) {
  const Plan plan = Evaluate(SmallProblem(), {{0, {0, 1}}, {1, {1, 4}}});
  EXPECT_NEAR(plan.prediction.tokens_per_s, 1 / 4.68, 1e-12);
  EXPECT_NEAR(plan.stages[1].utilization, 0.41 / 4.68, 1e-12);
}

// Six sessions on two stages: two steps in flight, three tokens each, 1.5 ms for a byte. A passage
// takes 3.56 + 0.16 + 0.8 + 0.76 + (0.5 + 0.3), half of it 2.99, longer than any stage.
TEST(Throughput, OfFewStagesIsBoundByThePassage) {
  PlanProblem problem = SmallProblem();
  problem.workload.sessions = 6;
  const Plan plan = Evaluate(problem, {{0, {0, 1}}, {1, {1, 4}}});
  // stage 0: 0.01 + 0.15; stage 1: 0.01 + 0.45 + a head of 3 * 0.1
  EXPECT_NEAR(plan.prediction.tokens_per_s, 3 / ((3.56 + 0.16 + 0.76 + 0.8) / 2), 1e-12);
}

TEST(Throughput, IsBoundByTheSlowestStageOrLink) {
  PlanProblem problem = SmallProblem();
  problem.workload.sessions = 6;
  for (LinkProfile& link : problem.cluster.links) link = {.bytes_per_s = 1e6};
  const Plan plan = Evaluate(problem, {{0, {0, 1}}, {1, {1, 4}}});
  EXPECT_NEAR(plan.prediction.tokens_per_s, 3 / 0.76, 1e-9);
  EXPECT_NEAR(plan.stages[0].utilization, 0.16 / 0.76, 1e-9);
  EXPECT_NEAR(plan.stages[1].utilization, 1, 1e-9);
  problem.cluster.link(0, 1).bytes_per_s = 10;  // 3 tokens of 10 bytes: 3 s
  EXPECT_NEAR(Evaluate(problem, {{0, {0, 1}}, {1, {1, 4}}}).prediction.tokens_per_s, 1, 1e-12);
}

// The parts of a device that holds both ends take turns: 0.16 and 0.01 + 0.15 + 0.3.
TEST(Throughput, CountsADeviceAtBothEndsOnce) {
  PlanProblem problem = SmallProblem();
  problem.workload.sessions = 9;  // three stages, three tokens each
  problem.constraints.first = problem.constraints.last = 0;
  for (LinkProfile& link : problem.cluster.links) link = {.bytes_per_s = 1e6};
  const Plan plan = Evaluate(problem, {{0, {0, 1}}, {1, {1, 3}}, {0, {3, 4}}});
  EXPECT_NEAR(plan.prediction.tokens_per_s, 3 / (0.16 + 0.46), 1e-9);
}

TEST(Energy, IsBusyWattsWhileItComputesAndIdleWattsForTheRest) {
  PlanProblem problem = SmallProblem();
  problem.cluster.devices[0].busy_watts = 10;
  problem.cluster.devices[0].idle_watts = 2;
  EXPECT_EQ(Evaluate(problem, {{0, {0, 1}}, {1, {1, 4}}}).prediction.joules_per_token, 0);
  problem.cluster.devices[1].busy_watts = 5;
  const Plan plan = Evaluate(problem, {{0, {0, 1}}, {1, {1, 4}}});
  EXPECT_NEAR(plan.prediction.joules_per_token, 10 * 0.11 + 2 * (4.68 - 0.11) + 5 * 0.41, 1e-12);
}

TEST(Memory, IsWeightsKvAndBuffersWithTheMargin) {
  PlanProblem problem = SmallProblem();
  problem.model.embedding = {Weights("A", 1000, 1)};
  problem.model.buffer_bytes_per_token = 3;
  problem.workload.step_token_budget = 7;
  problem.workload.kv_tokens = 11;
  for (LayerShape& layer : problem.model.layers) {
    layer.vector_bytes = 5;
    layer.kv_bytes_per_token = 2;
  }
  const StageMemory middle = MemoryOf(problem, {1, 3});
  EXPECT_EQ(middle.weight_bytes, 210);
  EXPECT_EQ(middle.kv_bytes, 44);
  EXPECT_EQ(middle.buffer_bytes, 21);
  EXPECT_EQ(middle.needed_bytes(), 330);  // 275 * 1.2
  EXPECT_EQ(MemoryOf(problem, {0, 1}).weight_bytes, 1105);
  EXPECT_EQ(MemoryOf(problem, {3, 4}).weight_bytes, 305);
  EXPECT_EQ(MemoryOf(problem, {1, 2}).needed_bytes(), 178);  // 148 * 1.2 = 177.6, rounded up
}

TEST(Objective, IsTheWeightedSumOfTheThree) {
  PlanProblem problem = SmallProblem();
  problem.objective = {2, 3, 5};
  const Plan plan = Evaluate(problem, {{0, {0, 1}}, {1, {1, 4}}});
  const Prediction& p = plan.prediction;
  EXPECT_NEAR(plan.objective, 2 * p.decode_s + 3 / p.tokens_per_s + 5 * p.first_token_s, 1e-12);
}

}  // namespace
}  // namespace shoal

// Proves the proportional split by properties over random models and devices, and by examples
// whose answer is plain.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "partitioner/strategy.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kPlenty = int64_t{1} << 50;

std::vector<WeightGroup> Weights(int64_t bytes) { return {{"Q4_0", bytes, 2 * bytes, 1}}; }

DeviceProfile Device(size_t number, double bytes_per_s, int64_t memory_bytes) {
  DeviceProfile device;
  device.name = fmt::format("device {}", number);
  device.memory_bytes = memory_bytes;
  device.speeds = {{"*", {{1, bytes_per_s}}}};
  return device;
}

PlanProblem Problem(int32_t layers, const std::vector<double>& speeds) {
  PlanProblem problem;
  LayerShape layer;
  layer.weights = Weights(1000);
  problem.model.layers.assign(static_cast<size_t>(layers), layer);
  std::vector<DeviceProfile> devices;
  for (const double speed : speeds) devices.push_back(Device(devices.size(), speed, kPlenty));
  problem.cluster = UniformCluster(std::move(devices), {.bytes_per_s = 1e9});
  return problem;
}

std::vector<int32_t> Counts(const Plan& plan) {
  std::vector<int32_t> counts;
  for (const PlannedStage& stage : plan.stages) {
    counts.push_back(stage.layers.end - stage.layers.begin);
  }
  return counts;
}

std::vector<int32_t> Place(const PlanProblem& problem) {
  const Result<Plan> plan = MakeSpeedProportional()->Place(problem);
  EXPECT_TRUE(plan.ok()) << plan.error().message;
  return plan.ok() ? Counts(*plan) : std::vector<int32_t>();
}

Error Refusal(const PlanProblem& problem) {
  const Result<Plan> plan = MakeSpeedProportional()->Place(problem);
  EXPECT_FALSE(plan.ok());
  return plan.ok() ? Error() : plan.error();
}

TEST(SpeedProportional, EqualDevicesGetEqualShares) {
  EXPECT_THAT(Place(Problem(30, {5e9, 5e9, 5e9})), ElementsAre(10, 10, 10));
  EXPECT_THAT(Place(Problem(31, {5e9, 5e9, 5e9})), ElementsAre(11, 10, 10));
  EXPECT_THAT(Place(Problem(7, {1})), ElementsAre(7));
}

TEST(SpeedProportional, SharesFollowSpeed) {
  EXPECT_THAT(Place(Problem(30, {3e9, 2e9, 1e9})), ElementsAre(15, 10, 5));
  EXPECT_THAT(Place(Problem(10, {1e12, 1e12, 1000})), ElementsAre(5, 4, 1));  // at least one
}

TEST(SpeedProportional, WhatDoesNotFitMovesToTheFastestWithRoom) {
  PlanProblem problem = Problem(30, {1e9, 3e9, 2e9});
  problem.cluster.devices[1].memory_bytes = 6 * 1200;  // six layers with margin
  EXPECT_THAT(Place(problem), ElementsAre(5, 6, 19));
  problem.cluster.devices[2].memory_bytes = 12 * 1200;
  EXPECT_THAT(Place(problem), ElementsAre(12, 6, 12));
}

TEST(SpeedProportional, CountsEmbeddingHeadAndKvWhereTheyLie) {
  PlanProblem problem = Problem(30, {1e9, 1e9, 1e9});
  problem.model.embedding = Weights(4000);
  problem.model.head = Weights(2000);
  for (LayerShape& layer : problem.model.layers) layer.kv_bytes_per_token = 10;
  problem.workload.kv_tokens = 100;  // as much as a layer's weights
  for (DeviceProfile& device : problem.cluster.devices) device.memory_bytes = 11 * 2400;
  EXPECT_THAT(Place(problem), ElementsAre(9, 11, 10));
}

TEST(SpeedProportional, ErrorsNameTheValues) {
  Error error = Refusal(Problem(30, {}));
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.message, HasSubstr("no devices"));

  error = Refusal(Problem(2, {1, 1, 1}));
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.message, HasSubstr("3 devices"));
  EXPECT_THAT(error.message, HasSubstr("2 layers"));

  const double infinity = std::numeric_limits<double>::infinity();
  for (const double speed : {0.0, -1.0, infinity, std::nan("")}) {
    error = Refusal(Problem(30, {1, speed}));
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.message, HasSubstr("device 1"));
  }

  PlanProblem tight = Problem(30, {1, 1});
  tight.workload.kv_tokens = 77;
  for (DeviceProfile& device : tight.cluster.devices) device.memory_bytes = 12 * 1200;
  error = Refusal(tight);
  EXPECT_EQ(error.code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(error.message, HasSubstr("24 of 30 layers"));
  EXPECT_THAT(error.message, HasSubstr("77 tokens"));

  PlanProblem tiny = Problem(2, {1, 1});
  tiny.cluster.devices[1].memory_bytes = 10;
  error = Refusal(tiny);
  EXPECT_EQ(error.code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(error.message, HasSubstr("device 1"));
}

rc::Gen<PlanProblem> AnyProblem() {
  return rc::gen::exec([] {
    const auto layers = *rc::gen::inRange(1, 100);
    PlanProblem problem;
    const auto bytes = rc::gen::inRange<int64_t>(0, 1 << 30);
    const auto kv_bytes = *rc::gen::inRange<int64_t>(0, 1 << 16);
    for (int32_t i = 0; i < layers; ++i) {
      LayerShape layer;
      layer.weights = Weights(*bytes);
      layer.kv_bytes_per_token = kv_bytes;
      problem.model.layers.push_back(layer);
    }
    problem.model.embedding = Weights(*bytes);
    problem.model.head = Weights(*bytes);
    problem.workload.kv_tokens = *rc::gen::inRange<int64_t>(0, 1 << 17);
    const auto count = *rc::gen::inRange<size_t>(1, 10);
    std::vector<DeviceProfile> devices;
    for (size_t i = 0; i < count; ++i) {
      const double exponent = *rc::gen::inRange(-3, 18);
      const double speed = *rc::gen::element(1e9, 2e9, 5e10, std::pow(10, exponent));
      const auto memory = *rc::gen::inRange<int64_t>(0, int64_t{1} << 36);
      devices.push_back(Device(i, speed, memory));
    }
    problem.cluster = UniformCluster(std::move(devices), {.bytes_per_s = 1e9});
    return problem;
  });
}

bool SamePlan(const Plan& a, const Plan& b) {
  return std::equal(a.stages.begin(), a.stages.end(), b.stages.begin(), b.stages.end(),
                    [](const PlannedStage& x, const PlannedStage& y) {
                      return x.device == y.device && x.layers == y.layers &&
                             x.weight_bytes == y.weight_bytes && x.kv_bytes == y.kv_bytes &&
                             x.decode_s == y.decode_s;
                    });
}

RC_GTEST_PROP(SpeedProportionalProperty, APlanCoversEachLayerOnceAndFitsTheMemory, ()) {
  const PlanProblem problem = *rc::gen::noShrink(AnyProblem());
  const Result<Plan> plan = MakeSpeedProportional()->Place(problem);
  const Result<Plan> again = MakeSpeedProportional()->Place(problem);
  RC_ASSERT(plan.ok() == again.ok());
  RC_CLASSIFY(plan.ok(), "fits");
  if (!plan.ok()) {
    RC_ASSERT(!plan.error().message.empty());
    return;
  }
  RC_ASSERT(SamePlan(*plan, *again));
  RC_ASSERT(plan->stages.size() == problem.cluster.devices.size());
  int32_t next = 0;
  for (size_t i = 0; i < plan->stages.size(); ++i) {
    const PlannedStage& stage = plan->stages[i];
    RC_ASSERT(stage.device == static_cast<int32_t>(i));
    RC_ASSERT(stage.layers.begin == next);
    RC_ASSERT(stage.layers.end > stage.layers.begin);
    next = stage.layers.end;
    const auto held = static_cast<double>(stage.weight_bytes + stage.kv_bytes + stage.buffer_bytes);
    RC_ASSERT(held * 1.2 <=
              static_cast<double>(problem.cluster.devices[i].memory_bytes) * (1 + 1e-12));
    RC_ASSERT(!std::isnan(stage.decode_s) && stage.decode_s >= 0);
  }
  RC_ASSERT(next == problem.model.layer_count());
}

// With room for all, a device is within one layer of its exact share, unless it or another needs
// the one layer that each must have.
RC_GTEST_PROP(SpeedProportionalProperty, WithRoomEachGetsItsShare, ()) {
  const auto devices = *rc::gen::inRange<size_t>(1, 8);
  const auto speeds = *rc::gen::container<std::vector<double>>(
      devices, rc::gen::map(rc::gen::inRange(1, 9), [](int tenths) { return tenths * 1e8; }));
  const double total = std::accumulate(speeds.begin(), speeds.end(), 0.0);
  const auto layers = *rc::gen::inRange(64, 200);  // the slowest share is one layer at least
  const std::vector<int32_t> counts = Place(Problem(layers, speeds));
  RC_ASSERT(counts.size() == devices);
  for (size_t i = 0; i < devices; ++i) {
    RC_ASSERT(std::abs(counts[i] - layers * speeds[i] / total) < 1);
  }
}

// Where every layer weighs the same, a plan is found whenever one exists.
RC_GTEST_PROP(SpeedProportionalProperty, EqualLayersArePlacedWheneverTheyFit, ()) {
  const auto devices = *rc::gen::inRange<size_t>(1, 8);
  const auto room = *rc::gen::container<std::vector<int32_t>>(
      devices, rc::gen::weightedOneOf<int32_t>(
                   {{15, rc::gen::resize(100, rc::gen::inRange(1, 20))}, {1, rc::gen::just(0)}}));
  const auto layers = *rc::gen::inRange(1, 100);
  PlanProblem problem = Problem(layers, std::vector<double>(room.size(), 1e9));
  for (size_t i = 0; i < room.size(); ++i) {
    problem.cluster.devices[i].speeds[0].batches[0].bytes_per_s *= *rc::gen::inRange(1, 9);
    problem.cluster.devices[i].memory_bytes = room[i] * 1200 + *rc::gen::inRange(1, 1199);
  }
  const bool fits = *std::min_element(room.begin(), room.end()) >= 1 &&
                    static_cast<int32_t>(room.size()) <= layers &&
                    std::accumulate(room.begin(), room.end(), 0) >= layers;
  RC_CLASSIFY(fits, "fits");
  RC_ASSERT(MakeSpeedProportional()->Place(problem).ok() == fits);
}

}  // namespace
}  // namespace shoal

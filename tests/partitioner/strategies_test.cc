// Proves the rival strategies: each by cases worked out by hand, the bottleneck search by trying
// every chain, and all of them by what any plan must hold: it passes EvaluatePlan with the same
// prediction, keeps to the constraints, and the same problem gives the same plan.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "partitioner/cost_model.h"
#include "partitioner/strategies/subset_dp.h"
#include "partitioner/strategy.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kLayerBytes = 1000;

// "device:layers" of each stage.
std::vector<std::string> Shown(const Result<Plan>& plan) {
  if (!plan.ok()) return {plan.error().message};
  std::vector<std::string> shown;
  for (const PlannedStage& stage : plan->stages) {
    shown.push_back(fmt::format("{}:{}", stage.device, stage.layers.size()));
  }
  return shown;
}

struct Kind {
  double layer_s = 1e-3;  // one token through one layer
  double room = 100;      // layers
};

// Layers of 1000 bytes, a byte of activations each, on devices that are joined by `link`.
PlanProblem Problem(int32_t layers, const std::vector<Kind>& kinds,
                    const LinkProfile& link = {.latency_s = 1e-4, .bytes_per_s = 1e9}) {
  PlanProblem problem;
  LayerShape layer;
  layer.weights = {{"Q4_0", kLayerBytes, 2 * kLayerBytes, 1}};
  layer.activation_bytes = 1;
  problem.model.layers.assign(static_cast<size_t>(layers), layer);
  problem.workload.kv_tokens = 1;
  std::vector<DeviceProfile> devices;
  for (const Kind& kind : kinds) {
    DeviceProfile device;
    device.name = fmt::format("device {}", devices.size());
    device.memory_bytes = static_cast<int64_t>(kind.room * kLayerBytes * 1.2) + 1;
    device.speeds = {{"*", {{1, kLayerBytes / kind.layer_s}}}};
    devices.push_back(device);
  }
  problem.cluster = UniformCluster(std::move(devices), link);
  return problem;
}

TEST(Even, SharesLayersWithoutLookingAtDevices) {
  EXPECT_THAT(Shown(MakeEven()->Place(Problem(10, {{1e-3}, {9e-3}, {5e-3}}))),
              ElementsAre("0:4", "1:3", "2:3"));
  EXPECT_THAT(Shown(MakeEven()->Place(Problem(2, {{}, {}, {}}))), ElementsAre("0:1", "1:1"));
  const Result<Plan> full = MakeEven()->Place(Problem(10, {{1e-3, 2}, {1e-3, 100}}));
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(full.error().message, HasSubstr("device 0"));
}

TEST(Even, ADeviceThatHoldsBothEndsGetsNoMoreThanAnother) {
  PlanProblem problem = Problem(12, {{}, {}, {}});
  problem.constraints.first = problem.constraints.last = 1;
  EXPECT_THAT(Shown(MakeEven()->Place(problem)), ElementsAre("1:4", "0:4", "2:3", "1:1"));
}

TEST(MemoryProportional, FollowsMemory) {
  EXPECT_THAT(Shown(MakeMemoryProportional()->Place(Problem(12, {{1, 10}, {1, 20}, {1, 30}}))),
              ElementsAre("0:2", "1:4", "2:6"));
}

// Of 4 parts (3 layers and the output), half each: 0/4 and 1/4 on the first, 2/4 on the second.
TEST(TensorSplit, CountsTheOutputAsALayer) {
  EXPECT_THAT(Shown(MakeTensorSplit()->Place(Problem(3, {{1, 50}, {1, 50}}))),
              ElementsAre("0:2", "1:1"));
  // 7 of 32 parts of memory: layers 0 to 2 of 13 (14 parts) lie below 3.06, so four layers do.
  EXPECT_THAT(Shown(MakeTensorSplit()->Place(Problem(13, {{1, 7}, {1, 25}}))),
              ElementsAre("0:4", "1:9"));
}

TEST(EdgeShardLatency, LeavesASlowSourceWhenTheHopPays) {
  // 10 layers of 10 ms or 1 ms; two hops to and fro cost 2 ms.
  PlanProblem problem = Problem(10, {{10e-3}, {1e-3}}, {.latency_s = 1e-3, .bytes_per_s = 1e9});
  problem.constraints.first = 0;
  EXPECT_THAT(Shown(MakeEdgeShardLatency()->Place(problem)), ElementsAre("0:1", "1:9"));
  // A hop of 100 ms does not.
  problem.cluster.link(0, 1).latency_s = 100e-3;
  EXPECT_THAT(Shown(MakeEdgeShardLatency()->Place(problem)), ElementsAre("0:10"));
}

TEST(EdgeShardLatency, ReturnsToASourceThatHoldsBothEnds) {
  PlanProblem problem = Problem(10, {{10e-3}, {1e-3}}, {.latency_s = 1e-3, .bytes_per_s = 1e9});
  problem.constraints.first = problem.constraints.last = 0;
  EXPECT_THAT(Shown(MakeEdgeShardLatency()->Place(problem)), ElementsAre("0:1", "1:8", "0:1"));
}

// Layer 1 is fast on the other device only, layers 0 and 2 on the source: going to and fro would be
// fastest, but a device holds one range.
TEST(EdgeShardLatency, DoesNotEnterADeviceAgain) {
  PlanProblem problem = Problem(3, {{}, {}}, {.latency_s = 1e-3, .bytes_per_s = 1e9});
  problem.cluster.devices[0].given_layer_s = {1e-3, 90e-3, 1e-3};
  problem.cluster.devices[1].given_layer_s = {90e-3, 1e-3, 20e-3};
  EXPECT_THAT(Shown(MakeEdgeShardLatency()->Place(problem)), ElementsAre("0:1", "1:2"));
}

TEST(EdgeShardThroughput, BalancesFromTheSourceOn) {
  // 12 layers: 2 ms each on the source, 1 ms on the other: 4 * 2 = 8 * 1.
  PlanProblem problem = Problem(12, {{2e-3}, {1e-3}});
  problem.constraints.first = 0;
  EXPECT_THAT(Shown(MakeEdgeShardThroughput()->Place(problem)), ElementsAre("0:4", "1:8"));
}

TEST(PipeEdge, LeavesOutADeviceWhoseLinkIsTheBottleneck) {
  PlanProblem problem = Problem(9, {{1e-3}, {1e-3}, {1e-3}});
  EXPECT_EQ(Shown(MakePipeEdge()->Place(problem)).size(), 3U);
  for (int32_t other = 0; other < 4; ++other) {  // 100 ms for a byte
    problem.cluster.link(2, other).bytes_per_s = problem.cluster.link(other, 2).bytes_per_s = 10;
  }
  EXPECT_THAT(Shown(MakePipeEdge()->Place(problem)), ElementsAre("0:5", "1:4"));
}

TEST(Halda, FillsTheFastestAndDropsTheWeak) {
  const PlanProblem problem = Problem(10, {{5e-3, 100}, {1e-3, 6}, {2e-3, 6}});
  EXPECT_THAT(Shown(MakeHalda()->Place(problem)), ElementsAre("1:6", "2:4"));
}

TEST(Halda, OnlyWithLinksADeviceCanBeTooFarAway) {
  PlanProblem problem = Problem(4, {{2e-3, 100}, {1e-3, 3}});
  for (int32_t other = 0; other < 3; ++other) {
    problem.cluster.link(1, other).latency_s = problem.cluster.link(other, 1).latency_s = 1;
  }
  EXPECT_THAT(Shown(MakeHaldaWithoutLinks()->Place(problem)), ElementsAre("0:1", "1:3"));
  // Halda drops only devices that keep one layer: here the near one, unless it is needed.
  problem.cluster.devices[1].memory_bytes = static_cast<int64_t>(1.2 * kLayerBytes) + 1;
  EXPECT_THAT(Shown(MakeHaldaWithoutLinks()->Place(problem)), ElementsAre("0:3", "1:1"));
  EXPECT_THAT(Shown(MakeHalda()->Place(problem)), ElementsAre("0:4"));
}

TEST(Petals, JoinsWhereTheSwarmIsWorstAndRoutesThrough) {
  // The first server takes [0, 4), the second what is served worst, [2, 6) or rather [4, 8).
  EXPECT_THAT(Shown(MakePetals()->Place(Problem(8, {{1e-3, 4}, {1e-3, 4}}))),
              ElementsAre("0:4", "1:4"));
  // One that holds all is on every way; a hop to a device no faster does not pay.
  EXPECT_THAT(Shown(MakePetals()->Place(Problem(8, {{1e-3, 8}, {1e-3, 8}}))), ElementsAre("0:8"));
}

TEST(Helix, TakesTheWidestWayOfTheFlow) {
  // Both halves once by slow and once by fast devices: the flow is wider through the fast.
  const PlanProblem problem = Problem(8, {{4e-3, 4}, {1e-3, 4}, {4e-3, 4}, {1e-3, 4}});
  const Result<Plan> plan = MakeHelix()->Place(problem);
  EXPECT_THAT(Shown(plan), ElementsAre("3:4", "1:4"));
}

TEST(WaterFilling, TakesTheFewestDevicesThatHoldTheModel) {
  EXPECT_THAT(Shown(MakeWaterFilling()->Place(Problem(12, {{1e-3, 5}, {1e-3, 8}, {3e-3, 8}}))),
              ElementsAre("1:8", "2:4"));  // 9 and 3 by speed, but 8 is full
}

TEST(Strategies, ErrorsNameTheConstraintOrWhatIsMissing) {
  PlanProblem apart = Problem(8, {{1e-3, 5}, {1e-3, 5}});
  apart.cluster.link(0, 1).usable = false;
  EXPECT_THAT(Shown(MakeEven()->Place(apart))[0], HasSubstr("device 0 cannot reach device 1"));
  EXPECT_THAT(Shown(MakePipeEdge()->Place(apart)), ElementsAre("1:4", "0:4"));
  for (const std::unique_ptr<Strategy>& strategy : AllStrategies()) {
    const Result<Plan> plan = strategy->Place(Problem(8, {{1e-3, 3}, {1e-3, 3}}));
    ASSERT_FALSE(plan.ok()) << strategy->name();
    EXPECT_EQ(plan.error().code, ErrorCode::kResourceExhausted) << strategy->name();
  }
}

TEST(Strategies, HaveNamesAndDescriptionsOfTheirOwn) {
  std::vector<std::string> names;
  for (const std::unique_ptr<Strategy>& strategy : AllStrategies()) {
    names.emplace_back(strategy->name());
    EXPECT_FALSE(strategy->description().empty());
    EXPECT_TRUE(MakeStrategy(strategy->name()).ok());
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

// Small enough to try everything.
rc::Gen<PlanProblem> AnyProblem(int most_devices, int most_layers) {
  return rc::gen::exec([=] {
    const auto layers = *rc::gen::inRange(1, most_layers + 1);
    const auto devices = *rc::gen::inRange(1, most_devices + 1);
    std::vector<Kind> kinds;
    for (int i = 0; i < devices; ++i) {
      kinds.push_back({*rc::gen::element(1e-3, 2e-3, 5e-3, 13e-3),
                       static_cast<double>(*rc::gen::inRange(1, 2 * most_layers))});
    }
    PlanProblem problem = Problem(layers, kinds);
    for (LinkProfile& link : problem.cluster.links) {
      link.usable = *rc::gen::inRange(0, 12) > 0;
      link.latency_s = *rc::gen::element(1e-4, 1e-3, 1e-2);
      link.bytes_per_s = *rc::gen::element(1e2, 1e3, 1e6);
    }
    problem.workload.sessions = *rc::gen::inRange(1, 5);
    Constraints& constraints = problem.constraints;
    if (*rc::gen::inRange(0, 3) == 0) constraints.first = *rc::gen::inRange(0, devices);
    if (*rc::gen::inRange(0, 3) == 0) constraints.last = *rc::gen::inRange(0, devices);
    const auto excluded = *rc::gen::inRange(0, 4 * devices);
    if (excluded < devices && excluded != constraints.first && excluded != constraints.last) {
      constraints.excluded = {excluded};
    }
    return problem;
  });
}

RC_GTEST_PROP(StrategiesProperty, WhatTheyReturnIsAPlanThatHolds, ()) {
  const PlanProblem problem = *rc::gen::noShrink(AnyProblem(6, 10));
  for (const std::unique_ptr<Strategy>& strategy : AllStrategies()) {
    const Result<Plan> plan = strategy->Place(problem);
    const Result<Plan> again = strategy->Place(problem);
    RC_ASSERT(plan.ok() == again.ok());
    if (!plan.ok()) {
      RC_ASSERT(!plan.error().message.empty());
      continue;
    }
    RC_ASSERT(PlacementsOf(*plan) == PlacementsOf(*again));
    const Result<Plan> checked = EvaluatePlan(problem, PlacementsOf(*plan), "again");
    RC_ASSERT(checked.ok());
    RC_ASSERT(checked->objective == plan->objective);
    RC_ASSERT(plan->strategy == strategy->name());
  }
}

// Calls `visit` with every chain of different devices over contiguous ranges.
void ForEveryChain(const PlanProblem& problem, std::vector<Placement>& chain,
                   const std::function<void()>& visit) {
  const int32_t begin = chain.empty() ? 0 : chain.back().layers.end;
  if (begin == problem.model.layer_count()) return visit();
  for (int32_t device = 0; device < problem.cluster.device_count(); ++device) {
    const bool used = std::any_of(chain.begin(), chain.end(),
                                  [&](const Placement& p) { return p.device == device; });
    if (used) continue;
    for (int32_t end = begin + 1; end <= problem.model.layer_count(); ++end) {
      chain.push_back({device, {begin, end}});
      ForEveryChain(problem, chain, visit);
      chain.pop_back();
    }
  }
}

double Bottleneck(const PlanProblem& problem, const std::vector<Placement>& chain, bool latency) {
  const int32_t usable =
      problem.cluster.device_count() - static_cast<int32_t>(problem.constraints.excluded.size());
  const StepCosts costs(problem, BatchedDecodeStep(problem.workload, usable));
  double slowest = 0;
  for (size_t i = 0; i < chain.size(); ++i) {
    slowest = std::max(slowest, costs.stage_s(chain[i].device, chain[i].layers));
    if (i == 0) continue;
    const int32_t from = chain[i - 1].device;
    const int32_t boundary = chain[i].layers.begin;
    slowest = std::max(slowest, latency ? costs.hop_s(from, chain[i].device, boundary)
                                        : costs.occupancy_s(from, chain[i].device, boundary));
  }
  return slowest;
}

RC_GTEST_PROP(BottleneckProperty, NoChainHasASmallerOne, ()) {
  PlanProblem problem = *rc::gen::noShrink(AnyProblem(4, 6));
  if (problem.constraints.first == problem.constraints.last) problem.constraints.last = -1;
  RC_PRE(CheckProblem(problem).ok());
  const bool latency = *rc::gen::arbitrary<bool>();
  double least = std::numeric_limits<double>::infinity();
  std::vector<Placement> chain;
  ForEveryChain(problem, chain, [&] {
    if (!EvaluatePlan(problem, chain, "").ok()) return;
    least = std::min(least, Bottleneck(problem, chain, latency));
  });
  const Result<Plan> plan =
      PlaceByBottleneck(problem, {problem.constraints.first, latency}, "search");
  RC_CLASSIFY(plan.ok(), "has a plan");
  RC_ASSERT(plan.ok() == (least < std::numeric_limits<double>::infinity()));
  if (plan.ok()) RC_ASSERT(Bottleneck(problem, PlacementsOf(*plan), latency) == least);
}

// With two devices there is only one way to each that is worth keeping.
RC_GTEST_PROP(EdgeShardLatencyProperty, IsBestOfTwoDevices, ()) {
  PlanProblem problem = *rc::gen::noShrink(AnyProblem(2, 8));
  problem.constraints = {};
  problem.constraints.first = 0;
  for (DeviceProfile& device : problem.cluster.devices) {
    device.memory_bytes = int64_t{1} << 40;
    device.step_s = *rc::gen::element(0.0, 1e-3, 1e-2);
  }
  double least = std::numeric_limits<double>::infinity();
  std::vector<Placement> chain;
  ForEveryChain(problem, chain, [&] {
    const Result<Plan> plan = EvaluatePlan(problem, chain, "");
    if (plan.ok()) least = std::min(least, plan->prediction.decode_s);
  });
  const Result<Plan> plan = MakeEdgeShardLatency()->Place(problem);
  RC_ASSERT(plan.ok() == (least < std::numeric_limits<double>::infinity()));
  if (plan.ok()) RC_ASSERT(std::abs(plan->prediction.decode_s - least) < 1e-12);
}

}  // namespace
}  // namespace shoal

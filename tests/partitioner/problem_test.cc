// Proves that no bad value reaches the planner, and that what passes at the edges of the limits has
// finite costs.
#include "partitioner/problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "partitioner/plan.h"
#include "partitioner/relay.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;
using Edit = std::function<void(PlanProblem&)>;

PlanProblem GoodProblem() {
  DeviceProfile device;
  device.name = "desk";
  device.memory_bytes = int64_t{1} << 40;
  device.speeds = {{"Q4_0", {{1, 1e9}, {8, 5e8}}}};
  DeviceProfile phone = device;
  phone.name = "phone";
  PlanProblem problem;
  LayerShape layer;
  layer.weights = {{"Q4_0", 1000, 2000, 1}};
  layer.activation_bytes = 100;
  problem.model.layers.assign(2, layer);
  problem.model.head = layer.weights;
  problem.cluster = UniformCluster({device, phone}, {.bytes_per_s = 1e6});
  return problem;
}

void ExpectRefused(const Edit& edit, const std::vector<std::string>& named) {
  PlanProblem problem = GoodProblem();
  edit(problem);
  const Status status = CheckProblem(problem);
  ASSERT_FALSE(status.ok()) << named.front();
  EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
  for (const std::string& part : named) EXPECT_THAT(status.error().message, HasSubstr(part));
}

TEST(CheckProblem, AcceptsAGoodOne) { EXPECT_TRUE(CheckProblem(GoodProblem()).ok()); }

TEST(CheckProblem, RefusesNumbersThatAreNoCost) {
  const double infinity = std::numeric_limits<double>::infinity();
  struct Member {
    const char* name;
    double DeviceProfile::*value;
  };
  const std::vector<Member> members = {
      {"matrix_s", &DeviceProfile::matrix_s},
      {"layer_s", &DeviceProfile::layer_s},
      {"step_s", &DeviceProfile::step_s},
      {"busy_watts", &DeviceProfile::busy_watts},
      {"idle_watts", &DeviceProfile::idle_watts},
      {"attention_decode_macs_per_s", &DeviceProfile::attention_decode_macs_per_s},
      {"attention_prefill_macs_per_s", &DeviceProfile::attention_prefill_macs_per_s},
      {"elementwise_values_per_s", &DeviceProfile::elementwise_values_per_s}};
  for (const double bad : {-1.0, 1e300, infinity, -infinity, std::nan("")}) {
    for (const Member& member : members) {
      ExpectRefused([&](PlanProblem& p) { p.cluster.devices[1].*member.value = bad; },
                    {"phone", member.name});
    }
    ExpectRefused(
        [&](PlanProblem& p) {
          p.cluster.devices[0].given_layer_s = {1, bad};
        },
        {"desk", "given_layer_s"});
    ExpectRefused([&](PlanProblem& p) { p.cluster.link(0, 1).latency_s = bad; },
                  {"desk to phone", "latency_s"});
    ExpectRefused([&](PlanProblem& p) { p.cluster.link(0, 2).latency_p95_s = bad; },
                  {"desk to coordinator", "latency_p95_s"});
    ExpectRefused([&](PlanProblem& p) { p.cluster.link(2, 1).bytes_per_s = bad; },
                  {"coordinator to phone", "bytes_per_s"});
    ExpectRefused(
        [&](PlanProblem& p) { p.cluster.devices[0].speeds[0].batches[1].bytes_per_s = bad; },
        {"desk", "Q4_0", "bytes_per_s"});
    ExpectRefused([&](PlanProblem& p) { p.objective.first_token_weight = bad; }, {"weight"});
  }
}

TEST(CheckProblem, RefusesAClusterThatIsNone) {
  ExpectRefused([](PlanProblem& p) { p.cluster.devices.clear(); }, {"no devices"});
  ExpectRefused([](PlanProblem& p) { p.cluster.devices[0].name = ""; }, {"no name"});
  ExpectRefused([](PlanProblem& p) { p.cluster.devices[0].name = "phone"; }, {"phone", "two"});
  ExpectRefused([](PlanProblem& p) { p.cluster.devices[0].memory_bytes = -5; }, {"desk", "-5"});
  ExpectRefused([](PlanProblem& p) { p.cluster.devices[0].speeds.clear(); }, {"desk", "no speed"});
  ExpectRefused([](PlanProblem& p) { p.cluster.devices[0].speeds[0].batches.clear(); },
                {"desk", "Q4_0"});
  ExpectRefused([](PlanProblem& p) { p.cluster.devices[0].speeds[0].batches[1].tokens = 1; },
                {"desk", "ascend"});
  ExpectRefused([](PlanProblem& p) { p.cluster.links.pop_back(); }, {"8 links", "9"});
  ExpectRefused([](PlanProblem& p) { p.cluster.link(0, 1).bytes_per_s = 0; }, {"desk to phone"});
}

TEST(CheckProblem, RefusesAModelThatIsNone) {
  ExpectRefused([](PlanProblem& p) { p.model.layers.clear(); }, {"layers", "0"});
  ExpectRefused([](PlanProblem& p) { p.model.layers[1].weights[0].bytes = -1; }, {"layer 1"});
  ExpectRefused([](PlanProblem& p) { p.model.layers[1].weights[0].experts = 0; }, {"experts"});
  ExpectRefused([](PlanProblem& p) { p.model.layers[1].weights[0].experts_used = 2; },
                {"experts_used is 2"});
  ExpectRefused([](PlanProblem& p) { p.model.layers[0].activation_bytes = -1; }, {"activation"});
  ExpectRefused([](PlanProblem& p) { p.model.layers[0].kv_bytes_per_token = int64_t{1} << 40; },
                {"kv_bytes_per_token"});
  ExpectRefused([](PlanProblem& p) { p.model.head[0].type = "Q6_K"; }, {"desk", "Q6_K", "head"});
  ExpectRefused(
      [](PlanProblem& p) {
        p.cluster.devices[1].given_layer_s = {1, 2, 3};
      },
      {"phone", "3", "2"});
}

TEST(CheckProblem, RefusesAWorkloadOrObjectiveThatIsNone) {
  ExpectRefused([](PlanProblem& p) { p.workload.sessions = 0; }, {"sessions is 0"});
  ExpectRefused([](PlanProblem& p) { p.workload.kv_tokens = -1; }, {"kv_tokens is -1"});
  ExpectRefused([](PlanProblem& p) { p.workload.prompt_tokens = 0; }, {"prompt_tokens"});
  ExpectRefused([](PlanProblem& p) { p.workload.output_tokens = -1; }, {"output_tokens"});
  ExpectRefused([](PlanProblem& p) { p.workload.prefill_chunk = 0; }, {"prefill_chunk"});
  ExpectRefused([](PlanProblem& p) { p.workload.step_token_budget = 0; }, {"step_token_budget"});
  ExpectRefused([](PlanProblem& p) { p.objective = {0, 0, 0}; }, {"objective", "0"});
}

TEST(CheckProblem, RefusesConstraintsThatContradict) {
  ExpectRefused([](PlanProblem& p) { p.constraints.first = 2; }, {"device 2"});
  ExpectRefused([](PlanProblem& p) { p.constraints.last = -2; }, {"device -2"});
  ExpectRefused([](PlanProblem& p) { p.constraints.required = {7}; }, {"device 7"});
  ExpectRefused([](PlanProblem& p) { p.constraints.excluded = {-1}; }, {"device -1"});
  ExpectRefused(
      [](PlanProblem& p) {
        p.constraints.first = 1;
        p.constraints.excluded = {1};
      },
      {"required and excluded"});
}

// The largest and the smallest values that pass.
TEST(CheckProblem, WhatPassesHasFiniteCosts) {
  PlanProblem problem = GoodProblem();
  for (LayerShape& layer : problem.model.layers) {
    layer.weights[0] = {"Q4_0", int64_t{1} << 48, int64_t{1} << 48, 1 << 20, 1 << 20, 1};
    layer.kv_bytes_per_token = 1 << 24;
    layer.attention_macs_per_position = int64_t{1} << 48;
    layer.elementwise_values = int64_t{1} << 48;
    layer.activation_bytes = int64_t{1} << 48;
  }
  problem.workload = {1 << 24, 1 << 20, 1 << 24, 1 << 24, 1, 1 << 20};
  problem.objective = {1e9, 1e9, 1e9};
  for (DeviceProfile& device : problem.cluster.devices) {
    device.memory_bytes = std::numeric_limits<int64_t>::max();
    device.speeds[0].batches = {{1, 1e-3}, {2, 1e18}};
    device.attention_decode_macs_per_s = device.attention_prefill_macs_per_s = 1e-3;
    device.elementwise_values_per_s = 1e-3;
  }
  for (LinkProfile& link : problem.cluster.links) link.bytes_per_s = 1e-3;
  ASSERT_TRUE(CheckProblem(problem).ok()) << CheckProblem(problem).error().message;
  const Result<Plan> plan = EvaluatePlan(problem, {{0, {0, 1}}, {1, {1, 2}}}, "");
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_TRUE(std::isfinite(plan->objective));
  EXPECT_TRUE(std::isfinite(1 / plan->prediction.tokens_per_s));

  PlanProblem nothing = GoodProblem();
  nothing.model.layers.assign(2, LayerShape());
  nothing.model.head.clear();
  nothing.objective = {1, 1, 1};
  for (LinkProfile& link : nothing.cluster.links) link.bytes_per_s = 1e18;
  const Result<Plan> free = EvaluatePlan(nothing, {{0, {0, 2}}}, "");
  ASSERT_TRUE(free.ok());
  EXPECT_TRUE(std::isfinite(free->objective));
  EXPECT_TRUE(std::isfinite(free->stages[0].utilization));
}

// A device's links to itself do not count, so a part may not follow on its own device's.
TEST(EvaluatePlan, RefusesTwoPartsOfOneDeviceInARow) {
  PlanProblem problem = GoodProblem();
  problem.constraints.first = problem.constraints.last = 0;
  const Result<Plan> plan = EvaluatePlan(problem, {{0, {0, 1}}, {0, {1, 2}}}, "");
  ASSERT_FALSE(plan.ok());
  EXPECT_THAT(plan.error().message, HasSubstr("one part"));
}

TEST(RelayedLink, LatenciesAddUpAndTheSlowerSetsTheBandwidth) {
  const LinkProfile up = {true, 0.010, 0.020, 2e6};
  const LinkProfile down = {true, 0.003, 0.004, 9e6};
  EXPECT_EQ(RelayedLink(up, down),
            (LinkProfile{true, 0.010 + 0.003, 0.024, 2e6, LinkOpener::kRelay}));
  EXPECT_EQ(RelayedLink(down, up).bytes_per_s, 2e6);
  EXPECT_EQ(RelayedLink(up, {true, 0.003, 0, 9e6}).latency_p95_s, 0) << "unknown";
  EXPECT_FALSE(RelayedLink(up, {.usable = false}).usable);
  EXPECT_FALSE(RelayedLink({.usable = false}, down).usable);
}

TEST(RelayedLink, OnlyDevicesThatCannotDialAreRelayed) {
  Cluster cluster = UniformCluster(std::vector<DeviceProfile>(3), {true, 0.001, 0, 1e8});
  cluster.link(0, 1).usable = false;
  cluster.link(0, 3) = {true, 0.010, 0, 5e6};  // to the coordinator
  cluster.link(3, 1) = {true, 0.002, 0, 7e6};
  cluster.link(2, 1).usable = false;
  cluster.link(2, 3).usable = false;
  RelayThroughCoordinator(cluster);
  EXPECT_EQ(cluster.link(0, 1), (LinkProfile{true, 0.012, 0, 5e6, LinkOpener::kRelay}));
  EXPECT_EQ(cluster.link(1, 0), (LinkProfile{true, 0.001, 0, 1e8}));
  EXPECT_FALSE(cluster.link(2, 1).usable) << "nor the coordinator";
}

}  // namespace
}  // namespace shoal

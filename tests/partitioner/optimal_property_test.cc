// Proves what holds of every plan of the planner, by random problems: it is a plan, its numbers are
// EvaluatePlan's, a better cluster is never worse, the same input gives the same plan; and of the
// search for many devices: its bound is a bound, and the best plan lies within the gap it states.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <random>

#include "partitioner/large_search.h"
#include "partitioner/optimal.h"
#include "tests/partitioner/planner_cases.h"

namespace shoal {
namespace {

constexpr double kRounding = 1e-9;

PlanProblem AnyProblem(const CaseSize& size) {
  std::mt19937 random(*rc::gen::noShrink(rc::gen::arbitrary<uint32_t>()));
  return RandomProblem(random, size);
}

Result<Plan> Best(const PlanProblem& problem) { return MakeOptimal()->Place(problem); }

// Neither worse nor gone.
void AssertNoWorse(const PlanProblem& before, const PlanProblem& after) {
  const Result<Plan> old_plan = Best(before);
  const Result<Plan> new_plan = Best(after);
  RC_CLASSIFY(old_plan.ok(), "has a plan");
  if (!old_plan.ok()) return;
  RC_ASSERT(new_plan.ok());
  RC_ASSERT(new_plan->objective <= old_plan->objective * (1 + kRounding));
}

RC_GTEST_PROP(OptimalProperty, APlanIsOneAndItsNumbersAgree, ()) {
  const PlanProblem problem = AnyProblem({7, 16});
  const Result<Plan> plan = Best(problem);
  const Result<Plan> again = Best(problem);
  RC_ASSERT(plan.ok() == again.ok());
  if (!plan.ok()) {
    RC_ASSERT(plan.error().code == ErrorCode::kResourceExhausted);
    return;
  }
  RC_ASSERT(PlacementsOf(*plan) == PlacementsOf(*again));
  int32_t next = 0;
  for (const PlannedStage& stage : plan->stages) {
    RC_ASSERT(stage.layers.begin == next);
    RC_ASSERT(stage.layers.size() > 0);
    next = stage.layers.end;
    RC_ASSERT(stage.needed_bytes <=
              problem.cluster.devices[static_cast<size_t>(stage.device)].memory_bytes);
  }
  RC_ASSERT(next == problem.model.layer_count());
  const Result<Plan> checked = EvaluatePlan(problem, PlacementsOf(*plan), "");
  RC_ASSERT(checked.ok());
  RC_ASSERT(checked->objective == plan->objective);
  RC_ASSERT(plan->lower_bound == plan->objective);
}

RC_GTEST_PROP(OptimalProperty, ADeviceMoreIsNeverWorse, ()) {
  PlanProblem after = AnyProblem({6, 12});
  PlanProblem before = after;
  const int32_t last = after.cluster.device_count() - 1;
  std::erase(after.constraints.excluded, last);
  const Constraints& constraints = after.constraints;
  const auto& required = constraints.required;
  RC_PRE(last != constraints.first && last != constraints.last &&
         std::find(required.begin(), required.end(), last) == required.end());
  before.constraints = after.constraints;
  before.constraints.excluded.push_back(last);
  AssertNoWorse(before, after);
}

RC_GTEST_PROP(OptimalProperty, AFasterLinkIsNeverWorse, ()) {
  const PlanProblem before = AnyProblem({5, 12});
  PlanProblem after = before;
  const auto endpoint = rc::gen::inRange(0, before.cluster.endpoint_count());
  LinkProfile& link = after.cluster.link(*endpoint, *endpoint);
  link.usable = true;
  link.latency_s /= 3;
  link.bytes_per_s *= 3;
  AssertNoWorse(before, after);
}

RC_GTEST_PROP(OptimalProperty, AFasterOrLargerDeviceIsNeverWorse, ()) {
  const PlanProblem before = AnyProblem({5, 12});
  PlanProblem after = before;
  const auto index = *rc::gen::inRange<size_t>(0, after.cluster.devices.size());
  DeviceProfile& device = after.cluster.devices[index];
  device.memory_bytes *= 2;
  device.step_s /= 2;
  for (TypeSpeed& speed : device.speeds) {
    for (BatchSpeed& batch : speed.batches) batch.bytes_per_s *= 2;
  }
  AssertNoWorse(before, after);
}

// Devices are only numbered: in another order of them the best plan costs the same.
RC_GTEST_PROP(OptimalProperty, TheOrderOfTheDevicesDoesNotMatter, ()) {
  PlanProblem before = AnyProblem({6, 10, false});
  const std::vector<DeviceProfile> devices = before.cluster.devices;
  PlanProblem after = before;
  std::reverse(after.cluster.devices.begin(), after.cluster.devices.end());
  const auto mirrored = [&](int32_t endpoint) {
    return endpoint == before.cluster.coordinator() ? endpoint
                                                    : before.cluster.device_count() - 1 - endpoint;
  };
  for (int32_t from = 0; from < before.cluster.endpoint_count(); ++from) {
    for (int32_t to = 0; to < before.cluster.endpoint_count(); ++to) {
      after.cluster.link(mirrored(from), mirrored(to)) = before.cluster.link(from, to);
    }
  }
  AssertNoWorse(before, after);
  AssertNoWorse(after, before);
}

// The best of 7 devices lies between the search's bound and its plan, and the search finds a plan
// wherever the bound is not endless.
TEST(LargeSearch, HoldsTheBestPlanBetweenItsBoundAndItsPlan) {
  constexpr double kWork = 2e7;
  int32_t plans = 0;
  int32_t best_ones = 0;
  double worst = 1;
  for (uint32_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    const PlanProblem problem = RandomProblem(random, {7, 10});
    const Result<Plan> best = Best(problem);
    const FoundPlan found = SearchLargePlan(problem, kWork);
    if (!best.ok()) {
      EXPECT_TRUE(found.placements.empty());
      continue;
    }
    ++plans;
    EXPECT_LE(found.bound, best->objective * (1 + kRounding));
    if (found.placements.empty()) continue;
    const Result<Plan> plan = EvaluatePlan(problem, found.placements, "");
    ASSERT_TRUE(plan.ok()) << plan.error().message;
    EXPECT_GE(plan->objective, best->objective * (1 - kRounding));
    const double ratio = plan->objective / best->objective;
    worst = std::max(worst, ratio);
    if (ratio <= 1 + kRounding) ++best_ones;
  }
  fmt::print("{} of {} plans are the best one, the worst costs {:.4f} times as much\n", best_ones,
             plans, worst);
  EXPECT_GE(best_ones, plans * 9 / 10);
  EXPECT_LE(worst, 1.02);
}

}  // namespace
}  // namespace shoal

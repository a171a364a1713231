// Proves the exact planner by an oracle that tries every plan, on random problems with up to five
// devices and twelve layers: all objectives and mixes of them, constraints, alike devices, links
// that are not usable, memory that is tight.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "partitioner/optimal.h"
#include "tests/partitioner/planner_cases.h"

namespace shoal {
namespace {

struct Tally {
  int32_t feasible = 0;
  int64_t plans = 0;
  int32_t many_stages = 0;
};

void Compare(const PlanProblem& problem, int32_t seed, Tally& tally) {
  SCOPED_TRACE(fmt::format("seed {}", seed));
  ASSERT_TRUE(CheckProblem(problem).ok()) << CheckProblem(problem).error().message;
  const BruteForce best = TryEverything(problem);
  const Result<Plan> plan = MakeOptimal()->Place(problem);
  if (best.placements.empty()) {
    ASSERT_FALSE(plan.ok());
    EXPECT_EQ(plan.error().code, ErrorCode::kResourceExhausted);
    return;
  }
  ++tally.feasible;
  tally.plans += best.plans;
  if (best.placements.size() > 1) ++tally.many_stages;
  const Result<Plan> checked = EvaluatePlan(problem, best.placements, "everything");
  ASSERT_TRUE(checked.ok()) << checked.error().message;
  ASSERT_NEAR(checked->objective, best.objective, 1e-9 * best.objective);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_NEAR(plan->objective, best.objective, 1e-9 * best.objective);
  EXPECT_EQ(plan->lower_bound, plan->objective);
}

// At least half of the cases have a plan, and a third of those have several stages.
void CompareMany(int32_t cases, const CaseSize& size) {
  Tally tally;
  for (int32_t seed = 0; seed < cases && !::testing::Test::HasFailure(); ++seed) {
    std::mt19937 random(static_cast<uint32_t>(seed * 1000 + size.most_layers));
    Compare(RandomProblem(random, size), seed, tally);
  }
  fmt::print("{} of {} cases have a plan, {} of several stages; {} plans were tried\n",
             tally.feasible, cases, tally.many_stages, tally.plans);
  EXPECT_GE(tally.feasible, cases / 2);
  EXPECT_GE(tally.many_stages, tally.feasible / 3);
}

TEST(OptimalOracle, EqualsEverythingTriedOnSmallProblems) { CompareMany(2000, {4, 8}); }
TEST(OptimalOracle, EqualsEverythingTriedOnFiveDevicesAndTwelveLayers) {
  CompareMany(1000, {5, 12});
}
TEST(OptimalOracle, EqualsEverythingTriedWithoutConstraints) { CompareMany(400, {4, 10, false}); }

}  // namespace
}  // namespace shoal

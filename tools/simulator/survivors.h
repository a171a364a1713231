// Planning while some devices are gone, and what it takes to load a plan.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "partitioner/plan.h"
#include "partitioner/strategy.h"

namespace shoal {

// The problem with only these devices (ascending indices). Errors (kInvalidArgument): a constraint
// names a device that is not among them; none is left.
Result<PlanProblem> ProblemOf(const PlanProblem& problem, const std::vector<int32_t>& devices);

// The strategy's plan on these devices, with the indices of `problem`. Errors: those of ProblemOf
// and of the strategy.
Result<Plan> PlanOn(const PlanProblem& problem, const std::vector<int32_t>& devices,
                    const Strategy& strategy);

// What weights each device holds in memory.
class HeldWeights {
 public:
  explicit HeldWeights(const PlanProblem& problem);

  // Seconds until every stage of the plan holds its weights: each device gets what it lacks over
  // its link from the coordinator, all at once.
  double LoadSeconds(const Plan& plan) const;
  // Each device of the plan holds its stages and nothing else; others keep what they hold.
  void Load(const Plan& plan);
  void Lose(int32_t device);

 private:
  int64_t MissingBytes(const PlannedStage& stage) const;

  const PlanProblem& problem_;
  std::vector<std::vector<bool>> layers_;  // [devices, layers]
  std::vector<bool> embedding_;            // [devices]
  std::vector<bool> head_;
};

}  // namespace shoal

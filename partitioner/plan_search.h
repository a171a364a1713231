// Branch and bound over the maxima of the objective. A box of plans is given by limits on the
// slowest stage or link (from below and above); within a box the cheapest sum, by dynamic
// programming, gives both a lower bound and a plan. Boxes are cut in two until none can hold a
// better plan.
#pragma once

#include <cstdint>
#include <vector>

#include "partitioner/plan.h"

namespace shoal {

struct FoundPlan {
  std::vector<Placement> placements;  // empty if there is none
  double bound = 0;                   // no plan is better
  double work = 0;                    // that it took
};

// Points of the dynamic program (states of used devices * layers * groups) up to which it is exact:
// 12 distinct devices and 80 layers have 4 million, 8 bytes each.
constexpr int64_t kMaxExactPoints = int64_t{1} << 24;

// Whether SearchPlan takes this problem. REQUIRES CheckProblem to have passed.
bool IsExactlySearchable(const PlanProblem& problem);

// Whether that takes some hundredths of a second.
bool IsQuicklySearchable(const PlanProblem& problem);

// The best plan. Proved to a relative 1e-10; after `max_work` (points visited * groups; about 1e9
// of them take a second) it ends with what it has, whose bound then is below its objective.
// REQUIRES IsExactlySearchable.
FoundPlan SearchPlan(const PlanProblem& problem, double max_work);

// For problems of any size: a lower bound, from plans that may use a device more than once, at a
// price for each use beyond its number; and a better plan than `known` (may be null), if such a
// plan turns up.
FoundPlan BoundPlan(const PlanProblem& problem, const Plan* known, double max_work);

}  // namespace shoal

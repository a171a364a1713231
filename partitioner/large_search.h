// Plans for more distinct devices than can be searched exactly: orders of the devices are improved
// step by step, each cut as well as it can be; then the best devices and some others at a time are
// searched exactly; a relaxation proves how far the result can be from the best one.
#pragma once

#include "partitioner/plan_search.h"

namespace shoal {

// Deterministic. `max_work` is in the unit of SearchPlan. An empty plan means that none
// was found; none exists if the bound is endless. REQUIRES CheckProblem to have passed.
FoundPlan SearchLargePlan(const PlanProblem& problem, double max_work);

}  // namespace shoal

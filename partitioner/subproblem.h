// Planning while some devices are not there.
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

}  // namespace shoal

// Local search over the order in which devices may stand in the pipeline. For one order, the
// devices to use and the cuts follow from a small dynamic program.
#pragma once

#include <vector>

#include "partitioner/plan.h"

namespace shoal {

// The best plan found with so much work (as in SearchPlan); empty if none was found. Deterministic.
// REQUIRES CheckProblem to have passed.
std::vector<Placement> SearchOrders(const PlanProblem& problem, double max_work);

}  // namespace shoal

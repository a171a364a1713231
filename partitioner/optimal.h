// The planner: the best placement there is, with the proof.
#pragma once

#include <memory>

#include "partitioner/strategy.h"

namespace shoal {

// Named "optimal". Exact (Plan::lower_bound == objective) where the devices, alike ones counted as
// one group, have at most kMaxExactPoints combinations (partitioner/plan_search.h): about 12
// distinct devices with 80 layers, any number of them if their order is kept. Beyond that, a search
// whose plan comes with a proven lower bound. The same problem gives the same plan; among equal
// plans the one with fewer stages.
std::unique_ptr<Strategy> MakeOptimal();

}  // namespace shoal

// Ranges of layers that devices host, several devices for one layer if it comes so, as swarms do
// that serve many requests on different ways.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "partitioner/plan.h"

namespace shoal {

// By device; empty: it hosts nothing.
using HostedBlocks = std::vector<StageRange>;

// Petals' placement: greedy, then rebalanced. See strategies/petals.cc.
HostedBlocks PetalsBlocks(const PlanProblem& problem);

// One chain out of them: the way of least decode time that computes each layer on a device that
// hosts it. Errors: those of PlaceByRoute.
Result<Plan> PlaceWithin(const PlanProblem& problem, const HostedBlocks& blocks,
                         std::string_view strategy);

}  // namespace shoal

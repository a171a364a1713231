// The route of a token through devices that each may compute some layers, layer by layer: of every
// device that a layer may end on, the cheapest known way there. Not exact: one way is kept for each
// layer and device, and the devices that it used cannot be used again.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "partitioner/plan.h"

namespace shoal {

struct RouteRules {
  std::vector<int32_t> sources;  // devices that may hold layer 0
  // Whether a device may compute a layer.
  std::function<bool(int32_t device, int32_t layer)> allowed;
};

// The device that pinned problems start on; otherwise the one nearest to the coordinator.
int32_t SourceDevice(const PlanProblem& problem);

// The way of least decode time for one token. Memory, excluded devices and pinned ends are kept to.
// Errors: kResourceExhausted (no way is left), and those of EvaluatePlan.
Result<Plan> PlaceByRoute(const PlanProblem& problem, const RouteRules& rules,
                          std::string_view strategy);

}  // namespace shoal

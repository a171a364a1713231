// Smallest bottleneck of a pipeline, by dynamic programming over (layers placed, devices used, last
// device), devices that are alike being counted rather than named.
#pragma once

#include <string_view>

#include "base/result.h"
#include "partitioner/plan.h"

namespace shoal {

struct BottleneckRules {
  int32_t source = -1;          // holds the first stage; -1: any
  bool latency_counts = false;  // of links: else only how long they are busy
};

// The chain whose slowest stage or link takes least in a step of the workload's sessions shared
// among all devices. REQUIRES CheckProblem to have passed. Keeps to memory, links, excluded devices
// and pinned ends. Errors: kResourceExhausted (nothing fits; or more different devices than can be
// tried: names their number), and those of EvaluatePlan.
Result<Plan> PlaceByBottleneck(const PlanProblem& problem, const BottleneckRules& rules,
                               std::string_view strategy);

}  // namespace shoal

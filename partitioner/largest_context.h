// How long a context fits.
#pragma once

#include <cstdint>

#include "partitioner/strategy.h"

namespace shoal {

struct ContextPlan {
  int64_t kv_tokens = 0;
  Plan plan;  // for so many
};

// The most kv_tokens, a multiple of `granule` up to `limit`, for which `strategy` has a plan, by
// bisection; the problem's own kv_tokens do not count. Errors: those of the strategy for one
// granule; kInvalidArgument if granule < 1 or limit < granule.
Result<ContextPlan> LargestContext(PlanProblem problem, const Strategy& strategy, int64_t granule,
                                   int64_t limit);

}  // namespace shoal

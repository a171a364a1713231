#include "partitioner/largest_context.h"

#include <fmt/format.h>

namespace shoal {

Result<ContextPlan> LargestContext(PlanProblem problem, const Strategy& strategy, int64_t granule,
                                   int64_t limit) {
  if (granule < 1 || limit < granule) {
    return InvalidArgument(
        fmt::format("a context of up to {} tokens in steps of {}: there is none", limit, granule));
  }
  const Objective wanted = problem.objective;
  problem.objective = Objective::Latency();  // what fits does not depend on it; this is quickest
  int64_t fits = 1;
  int64_t too_many = limit / granule + 1;
  problem.workload.kv_tokens = granule;
  ASSIGN_OR_RETURN(Plan plan, strategy.Place(problem));
  while (too_many - fits > 1) {
    const int64_t granules = fits + (too_many - fits) / 2;
    problem.workload.kv_tokens = granules * granule;
    Result<Plan> larger = strategy.Place(problem);
    if (larger.ok()) {
      fits = granules;
      plan = *std::move(larger);
    } else if (larger.error().code == ErrorCode::kResourceExhausted) {
      too_many = granules;
    } else {
      return larger.error();
    }
  }
  problem.workload.kv_tokens = fits * granule;
  problem.objective = wanted;
  Result<Plan> best = strategy.Place(problem);
  if (best.ok()) return ContextPlan{problem.workload.kv_tokens, *std::move(best)};
  // A search that is not exact may miss what it found for the other objective.
  ASSIGN_OR_RETURN(plan, EvaluatePlan(problem, PlacementsOf(plan), plan.strategy));
  return ContextPlan{problem.workload.kv_tokens, std::move(plan)};
}

}  // namespace shoal

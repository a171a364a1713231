#include "partitioner/large_search.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "partitioner/order_search.h"

namespace shoal {

namespace {

// How the work is shared out.
constexpr double kOrderShare = 0.3;
constexpr double kSubsetShare = 0.4;
constexpr double kBoundShare = 0.3;
constexpr size_t kSubsetDevices = 10;

// The problem with these devices only.
PlanProblem Restricted(const PlanProblem& problem, const std::vector<int32_t>& devices) {
  PlanProblem restricted = problem;
  for (int32_t device = 0; device < problem.cluster.device_count(); ++device) {
    const bool kept = std::find(devices.begin(), devices.end(), device) != devices.end();
    if (!kept) restricted.constraints.excluded.push_back(device);
  }
  return restricted;
}

std::vector<int32_t> UsedDevices(const Plan& plan, const Constraints& constraints) {
  std::vector<int32_t> used;
  for (const PlannedStage& stage : plan.stages) used.push_back(stage.device);
  used.insert(used.end(), constraints.required.begin(), constraints.required.end());
  std::sort(used.begin(), used.end());
  used.erase(std::unique(used.begin(), used.end()), used.end());
  return used;
}

// Searches the plan's devices together with a few others at a time, until no others help.
void SearchSubsets(const PlanProblem& problem, double work, Plan& best) {
  const int32_t count = problem.cluster.device_count();
  const double most_at_once = work / 4;
  int32_t next = 0;
  for (int32_t tried = 0; tried < count && work > 0;) {
    std::vector<int32_t> devices = UsedDevices(best, problem.constraints);
    if (devices.size() + 1 > kSubsetDevices) return;
    for (; devices.size() < kSubsetDevices && tried < count; ++tried) {
      const int32_t other = next++ % count;
      const auto& excluded = problem.constraints.excluded;
      if (std::find(devices.begin(), devices.end(), other) != devices.end()) continue;
      if (std::find(excluded.begin(), excluded.end(), other) != excluded.end()) continue;
      devices.push_back(other);
    }
    const PlanProblem restricted = Restricted(problem, devices);
    if (!IsExactlySearchable(restricted)) return;
    const FoundPlan found = SearchPlan(restricted, most_at_once);
    work -= found.work;
    if (found.placements.empty()) continue;
    const Result<Plan> plan = EvaluatePlan(problem, found.placements, "");
    if (!plan.ok() || plan->objective >= best.objective * (1 - 1e-9)) continue;
    best = *plan;
    tried = 0;
  }
}

}  // namespace

FoundPlan SearchLargePlan(const PlanProblem& problem, double max_work) {
  std::optional<Plan> best;
  const Result<Plan> ordered =
      EvaluatePlan(problem, SearchOrders(problem, kOrderShare * max_work), "");
  if (ordered.ok()) best = *ordered;
  if (best) SearchSubsets(problem, kSubsetShare * max_work, *best);
  FoundPlan bound = BoundPlan(problem, best ? &*best : nullptr, kBoundShare * max_work);
  if (bound.placements.empty() && best) bound.placements = PlacementsOf(*best);
  return bound;
}

}  // namespace shoal

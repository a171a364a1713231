#include "partitioner/subproblem.h"

#include <algorithm>

namespace shoal {

namespace {

// The new index of `device`; -1 if it is not among them.
int32_t IndexIn(const std::vector<int32_t>& devices, int32_t device) {
  const auto found = std::lower_bound(devices.begin(), devices.end(), device);
  if (found == devices.end() || *found != device) return -1;
  return static_cast<int32_t>(found - devices.begin());
}

Status KeepPinned(const PlanProblem& problem, const std::vector<int32_t>& devices,
                  int32_t& device) {
  if (device == -1) return OkStatus();
  const int32_t index = IndexIn(devices, device);
  if (index < 0) {
    return InvalidArgument(problem.cluster.devices[static_cast<size_t>(device)].name +
                           " is not there, but must have a part");
  }
  device = index;
  return OkStatus();
}

Cluster ClusterOf(const Cluster& cluster, const std::vector<int32_t>& devices) {
  Cluster kept;
  std::vector<int32_t> endpoints = devices;
  endpoints.push_back(cluster.coordinator());
  for (const int32_t device : devices) {
    kept.devices.push_back(cluster.devices[static_cast<size_t>(device)]);
  }
  kept.links.reserve(endpoints.size() * endpoints.size());
  for (const int32_t from : endpoints) {
    for (const int32_t to : endpoints) kept.links.push_back(cluster.link(from, to));
  }
  return kept;
}

}  // namespace

Result<PlanProblem> ProblemOf(const PlanProblem& problem, const std::vector<int32_t>& devices) {
  if (devices.empty()) return InvalidArgument("no device is left");
  PlanProblem kept{problem.model, ClusterOf(problem.cluster, devices), problem.workload,
                   problem.objective, problem.constraints};
  RETURN_IF_ERROR(KeepPinned(problem, devices, kept.constraints.first));
  RETURN_IF_ERROR(KeepPinned(problem, devices, kept.constraints.last));
  for (int32_t& device : kept.constraints.required) {
    RETURN_IF_ERROR(KeepPinned(problem, devices, device));
  }
  kept.constraints.excluded.clear();
  for (const int32_t device : problem.constraints.excluded) {
    const int32_t index = IndexIn(devices, device);
    if (index >= 0) kept.constraints.excluded.push_back(index);
  }
  return kept;
}

Result<Plan> PlanOn(const PlanProblem& problem, const std::vector<int32_t>& devices,
                    const Strategy& strategy) {
  if (static_cast<int32_t>(devices.size()) == problem.cluster.device_count()) {
    return strategy.Place(problem);
  }
  ASSIGN_OR_RETURN(const PlanProblem kept, ProblemOf(problem, devices));
  ASSIGN_OR_RETURN(Plan plan, strategy.Place(kept));
  for (PlannedStage& stage : plan.stages) {
    stage.device = devices[static_cast<size_t>(stage.device)];
  }
  return plan;
}

}  // namespace shoal

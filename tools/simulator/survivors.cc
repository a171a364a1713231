#include "tools/simulator/survivors.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

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

HeldWeights::HeldWeights(const PlanProblem& problem)
    : problem_(problem),
      layers_(problem.cluster.devices.size(), std::vector<bool>(problem.model.layers.size())),
      embedding_(problem.cluster.devices.size()),
      head_(problem.cluster.devices.size()) {}

int64_t HeldWeights::MissingBytes(const PlannedStage& stage) const {
  const ModelShape& model = problem_.model;
  const auto device = static_cast<size_t>(stage.device);
  int64_t bytes = 0;
  for (int32_t i = stage.layers.begin; i < stage.layers.end; ++i) {
    const auto layer = static_cast<size_t>(i);
    if (layers_[device][layer]) continue;
    bytes += ResidentBytes(model.layers[layer].weights) + model.layers[layer].vector_bytes;
  }
  if (stage.layers.begin == 0 && !embedding_[device]) bytes += ResidentBytes(model.embedding);
  if (stage.layers.end == model.layer_count() && !head_[device]) bytes += ResidentBytes(model.head);
  return bytes;
}

double HeldWeights::LoadSeconds(const Plan& plan) const {
  const Cluster& cluster = problem_.cluster;
  std::map<int32_t, int64_t> missing;
  for (const PlannedStage& stage : plan.stages) missing[stage.device] += MissingBytes(stage);
  double seconds = 0;
  for (const auto& [device, bytes] : missing) {
    // Where the coordinator cannot dial a device, the device dials it: the other direction's link.
    const LinkProfile& out = cluster.link(cluster.coordinator(), device);
    const LinkProfile& link = out.usable ? out : cluster.link(device, cluster.coordinator());
    if (bytes == 0 || !link.usable) continue;
    seconds = std::max(seconds, link.latency_s + static_cast<double>(bytes) / link.bytes_per_s);
  }
  return seconds;
}

void HeldWeights::Load(const Plan& plan) {
  for (const PlannedStage& stage : plan.stages) Lose(stage.device);
  for (const PlannedStage& stage : plan.stages) {
    const auto device = static_cast<size_t>(stage.device);
    std::fill(layers_[device].begin() + stage.layers.begin,
              layers_[device].begin() + stage.layers.end, true);
    if (stage.layers.begin == 0) embedding_[device] = true;
    if (stage.layers.end == problem_.model.layer_count()) head_[device] = true;
  }
}

void HeldWeights::Lose(int32_t device) {
  const auto index = static_cast<size_t>(device);
  std::fill(layers_[index].begin(), layers_[index].end(), false);
  embedding_[index] = head_[index] = false;
}

}  // namespace shoal

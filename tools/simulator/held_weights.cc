#include "tools/simulator/held_weights.h"

#include <algorithm>
#include <map>

namespace shoal {

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

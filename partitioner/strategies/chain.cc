#include "partitioner/strategies/chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "partitioner/cost_model.h"

namespace shoal {

namespace {

// Bytes that the largest layer adds to a stage.
int64_t LargestLayerBytes(const PlanProblem& problem) {
  int64_t largest = 0;
  for (const LayerShape& layer : problem.model.layers) {
    largest = std::max(largest, ResidentBytes(layer.weights) + layer.vector_bytes +
                                    layer.kv_bytes_per_token * problem.workload.kv_tokens);
  }
  return largest;
}

}  // namespace

std::vector<int32_t> UsableDevices(const PlanProblem& problem) {
  std::vector<int32_t> devices;
  for (int32_t device = 0; device < problem.cluster.device_count(); ++device) {
    if (!Contains(problem.constraints.excluded, device)) devices.push_back(device);
  }
  return devices;
}

Chain ChainOf(const PlanProblem& problem, const std::vector<int32_t>& devices) {
  const int32_t first = problem.constraints.first;
  const int32_t last = problem.constraints.last;
  Chain chain;
  if (first != -1) chain.devices.push_back(first);
  for (const int32_t device : devices) {
    if (device != first && device != last) chain.devices.push_back(device);
  }
  chain.returns =
      first != -1 && first == last && chain.devices.size() > 1 && problem.model.layer_count() > 1;
  if (chain.returns || (last != -1 && last != first)) chain.devices.push_back(last);
  return chain;
}

std::vector<double> WeightsOf(const Chain& chain, const std::function<double(int32_t)>& weight) {
  std::vector<double> weights;
  for (const int32_t device : chain.devices) weights.push_back(weight(device));
  if (chain.returns) weights.back() = 0;
  return weights;
}

std::vector<int32_t> LeastLayers(const PlanProblem& problem, const Chain& chain) {
  std::vector<int32_t> least(chain.devices.size(), 0);
  for (size_t i = 0; i < least.size(); ++i) {
    if (Contains(problem.constraints.required, chain.devices[i])) least[i] = 1;
  }
  if (problem.constraints.first != -1) least.front() = 1;
  if (problem.constraints.last != -1) least.back() = 1;
  return least;
}

std::vector<int32_t> LayerCapacities(const PlanProblem& problem, const Chain& chain) {
  const int32_t layers = problem.model.layer_count();
  const int64_t largest = LargestLayerBytes(problem);
  std::vector<int32_t> capacities;
  for (size_t i = 0; i < chain.devices.size(); ++i) {
    const auto device = static_cast<size_t>(chain.devices[i]);
    double room =
        static_cast<double>(problem.cluster.devices[device].memory_bytes) / (1 + kMemoryMargin) -
        static_cast<double>(MemoryOf(problem, {0, 0}).buffer_bytes);
    if (i == 0) room -= static_cast<double>(ResidentBytes(problem.model.embedding));
    if (i == 0 && chain.returns) {
      room -= static_cast<double>(MemoryOf(problem, {layers - 1, layers}).needed_bytes());
    }
    if (i + 1 == chain.devices.size()) {
      room -= static_cast<double>(ResidentBytes(problem.model.head));
    }
    const double most = largest == 0 ? layers : std::floor(room / static_cast<double>(largest));
    capacities.push_back(static_cast<int32_t>(std::clamp<double>(most, 0, layers)));
  }
  if (chain.returns) capacities.back() = 1;
  return capacities;
}

double DecodeSpeed(const PlanProblem& problem, int32_t device) {
  constexpr double kLeastS = 1e-12;
  double seconds = 0;
  const StepShape step = DecodeStep(problem.workload);
  const DeviceProfile& profile = problem.cluster.devices[static_cast<size_t>(device)];
  for (size_t i = 0; i < problem.model.layers.size(); ++i) {
    seconds += profile.given_layer_s.empty() ? LayerSeconds(profile, problem.model.layers[i], step)
                                             : profile.given_layer_s[i];
  }
  return 1 / std::max(seconds, kLeastS);
}

std::vector<int32_t> Apportion(int32_t layers, const std::vector<double>& weights,
                               const std::vector<int32_t>& least,
                               const std::vector<int32_t>& capacity) {
  constexpr double kSlack = 1e-9;
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<double> share = weights;
  for (double& part : share) part = total > 0 ? part / total * layers : 0;
  std::vector<int32_t> count = least;
  for (int32_t placed = std::accumulate(count.begin(), count.end(), 0); placed < layers; ++placed) {
    int best = -1;
    double best_missing = 0;
    for (size_t i = 0; i < share.size(); ++i) {
      if (count[i] >= capacity[i]) continue;
      const double missing = std::max(0.0, share[i] - count[i]);
      const bool as_full = missing <= kSlack && best_missing <= kSlack;
      if (best < 0 || missing > best_missing + kSlack ||
          (as_full && share[i] > share[static_cast<size_t>(best)] + kSlack)) {
        best = static_cast<int>(i);
        best_missing = missing;
      }
    }
    if (best < 0) break;
    ++count[static_cast<size_t>(best)];
  }
  return count;
}

Result<Plan> PlaceCounts(const PlanProblem& problem, const Chain& chain,
                         const std::vector<int32_t>& counts, std::string_view strategy) {
  const int32_t layers = problem.model.layer_count();
  const int32_t placed = std::accumulate(counts.begin(), counts.end(), 0);
  if (placed < layers) {
    return ResourceExhausted(
        fmt::format("the devices' memory has room for {} of {} layers with KV for {} tokens",
                    placed, layers, problem.workload.kv_tokens));
  }
  if (placed > layers) {
    return InvalidArgument(
        fmt::format("{} devices cannot share {} layers: each needs at least one", placed, layers));
  }
  std::vector<Placement> placements;
  int32_t begin = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    placements.push_back({chain.devices[i], {begin, begin + counts[i]}});
    begin += counts[i];
  }
  return EvaluatePlan(problem, placements, std::string(strategy));
}

}  // namespace shoal

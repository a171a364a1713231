#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "partitioner/cost_model.h"
#include "partitioner/strategy.h"

namespace shoal {

namespace {

// The most layers a device can hold, counting every layer as the largest one and the head and
// embedding where they will lie. Conservative, so that EvaluatePlan agrees.
int32_t LayerCapacity(const PlanProblem& problem, size_t device) {
  const int32_t layers = problem.model.layer_count();
  int64_t largest = 0;
  for (int32_t i = 0; i < layers; ++i) {
    const StageMemory memory = MemoryOf(problem, {i, i + 1});
    int64_t bytes = memory.weight_bytes + memory.kv_bytes;
    if (i == 0) bytes -= ResidentBytes(problem.model.embedding);
    if (i + 1 == layers) bytes -= ResidentBytes(problem.model.head);
    largest = std::max(largest, bytes);
  }
  double room =
      static_cast<double>(problem.cluster.devices[device].memory_bytes) / (1 + kMemoryMargin) -
      static_cast<double>(MemoryOf(problem, {0, 0}).buffer_bytes);
  if (device == 0) room -= static_cast<double>(ResidentBytes(problem.model.embedding));
  if (device + 1 == problem.cluster.devices.size()) {
    room -= static_cast<double>(ResidentBytes(problem.model.head));
  }
  if (largest == 0) return layers;
  return static_cast<int32_t>(std::clamp(std::floor(room / static_cast<double>(largest)), 0.0,
                                         static_cast<double>(layers)));
}

// Index of the device that gets the next layer: the one furthest below its exact share, or, where
// all that may grow have their share, the fastest of them (the largest share). -1 if none may grow.
int NextToGrow(const std::vector<double>& share, const std::vector<int32_t>& count,
               const std::vector<int32_t>& capacity) {
  constexpr double kSlack = 1e-9;
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
  return best;
}

// Decode speed of each device over the whole model, relative to the sum of all.
std::vector<double> Shares(const PlanProblem& problem) {
  const StepCosts costs(problem, DecodeStep(problem.workload));
  constexpr double kLeastS = 1e-12;
  std::vector<double> speeds;
  for (int32_t i = 0; i < problem.cluster.device_count(); ++i) {
    const double all_s = costs.layers_s(i, {0, problem.model.layer_count()});
    speeds.push_back(1 / std::max(all_s, kLeastS));
  }
  const double total = std::accumulate(speeds.begin(), speeds.end(), 0.0);
  for (double& speed : speeds) speed /= total;
  return speeds;
}

class SpeedProportional final : public Strategy {
 public:
  std::string_view name() const override { return "speed-proportional"; }
  std::string_view description() const override {
    return "every device gets layers in proportion to its measured speed, capped by memory";
  }

  Result<Plan> Place(const PlanProblem& problem) const override {
    RETURN_IF_ERROR(CheckProblem(problem));
    const size_t devices = problem.cluster.devices.size();
    const int32_t layers = problem.model.layer_count();
    if (static_cast<size_t>(layers) < devices) {
      return InvalidArgument(fmt::format(
          "{} devices cannot share {} layers: each needs at least one", devices, layers));
    }
    std::vector<double> share = Shares(problem);
    for (double& part : share) part *= layers;
    std::vector<int32_t> capacity(devices);
    std::vector<int32_t> count(devices, 1);
    for (size_t i = 0; i < devices; ++i) {
      capacity[i] =
          std::max(1, LayerCapacity(problem, i));  // EvaluatePlan refuses what is too much
    }
    for (auto placed = static_cast<int32_t>(devices); placed < layers; ++placed) {
      const int next = NextToGrow(share, count, capacity);
      if (next < 0) {
        return ResourceExhausted(
            fmt::format("the devices' memory has room for {} of {} layers with KV for {} tokens",
                        placed, layers, problem.workload.kv_tokens));
      }
      ++count[static_cast<size_t>(next)];
    }
    std::vector<Placement> placements;
    for (int32_t begin = 0; const int32_t size : count) {
      placements.push_back(
          {static_cast<int32_t>(placements.size()), StageRange{begin, begin + size}});
      begin += size;
    }
    return EvaluatePlan(problem, placements, std::string(name()));
  }
};

}  // namespace

std::unique_ptr<Strategy> MakeSpeedProportional() { return std::make_unique<SpeedProportional>(); }

}  // namespace shoal

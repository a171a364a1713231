#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "partitioner/strategy.h"

namespace shoal {

namespace {

// The most layers a device can hold, counting every layer as the largest one and the head and
// embedding where they will lie. Conservative, so that PlanForSplit agrees.
int32_t LayerCapacity(const PlanProblem& problem, size_t device) {
  const ModelShape& model = problem.model;
  const int64_t largest =
      *std::max_element(model.layer_weight_bytes.begin(), model.layer_weight_bytes.end());
  double room = static_cast<double>(problem.devices[device].memory_bytes) / (1 + kMemoryMargin);
  if (device == 0) room -= static_cast<double>(model.embedding_bytes);
  if (device + 1 == problem.devices.size()) room -= static_cast<double>(model.head_bytes);
  const double per_layer =
      static_cast<double>(largest + model.kv_bytes_per_layer_token * problem.kv_tokens);
  const double layers = per_layer > 0 ? std::floor(room / per_layer) : model.layers();
  return static_cast<int32_t>(std::clamp(layers, 0.0, static_cast<double>(model.layers())));
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

class SpeedProportional final : public Strategy {
 public:
  std::string_view name() const override { return "speed-proportional"; }

  Result<Plan> Place(const PlanProblem& problem) const override {
    const size_t devices = problem.devices.size();
    const int32_t layers = problem.model.layers();
    if (devices == 0) return InvalidArgument("there are no devices");
    if (static_cast<size_t>(layers) < devices) {
      return InvalidArgument(fmt::format(
          "{} devices cannot share {} layers: each needs at least one", devices, layers));
    }
    double fastest = 0;
    for (const DeviceProfile& device : problem.devices) {
      if (!(device.weight_bytes_per_s > 0) || !std::isfinite(device.weight_bytes_per_s)) {
        return InvalidArgument(fmt::format("{}: a speed of {} bytes/s is not positive", device.name,
                                           device.weight_bytes_per_s));
      }
      fastest = std::max(fastest, device.weight_bytes_per_s);
    }
    double total = 0;  // in units of the fastest, so that no sum is infinite
    for (const DeviceProfile& device : problem.devices) {
      total += device.weight_bytes_per_s / fastest;
    }
    std::vector<double> share(devices);
    std::vector<int32_t> capacity(devices);
    std::vector<int32_t> count(devices, 1);
    for (size_t i = 0; i < devices; ++i) {
      share[i] = layers * (problem.devices[i].weight_bytes_per_s / fastest) / total;
      capacity[i] =
          std::max(1, LayerCapacity(problem, i));  // PlanForSplit refuses what is too much
    }
    for (auto placed = static_cast<int32_t>(devices); placed < layers; ++placed) {
      const int next = NextToGrow(share, count, capacity);
      if (next < 0) {
        return ResourceExhausted(
            fmt::format("the devices' memory has room for {} of {} layers with KV for {} tokens",
                        placed, layers, problem.kv_tokens));
      }
      ++count[static_cast<size_t>(next)];
    }
    std::vector<StageRange> ranges;
    for (int32_t begin = 0; const int32_t size : count) {
      ranges.push_back({begin, begin + size});
      begin += size;
    }
    return PlanForSplit(problem, ranges, std::string(name()));
  }
};

}  // namespace

std::unique_ptr<Strategy> MakeSpeedProportional() { return std::make_unique<SpeedProportional>(); }

}  // namespace shoal

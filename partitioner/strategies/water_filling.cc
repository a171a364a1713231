// The layer allocation of Parallax: C. Tong, Y. Jiang et al., "Parallax: Efficient LLM Inference
// Service over Decentralized Environment", 2025 (arXiv:2509.26182), phase 1. Pipelines have as few
// stages as hold the model, the devices with the most room first; within one, layers are "poured"
// in proportion to compute until a device's memory is full: sum of min(room, level * speed) =
// layers.
//
// Departs from the paper: it builds as many replicas as the devices allow and joins stages of
// different replicas for each request; here there is one chain, the first that it would build. Its
// division into regions is left out. Order of the chain: that of the cluster.
#include <algorithm>

#include "partitioner/strategies/chain.h"
#include "partitioner/strategy.h"

namespace shoal {

namespace {

// Layers of each position at a level of the water.
std::vector<double> Poured(const std::vector<double>& speeds, const std::vector<int32_t>& rooms,
                           double level) {
  std::vector<double> poured;
  for (size_t i = 0; i < speeds.size(); ++i) {
    poured.push_back(std::min<double>(rooms[i], level * speeds[i]));
  }
  return poured;
}

double Sum(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

// Layers of each position at the level at which all are poured, by bisection. REQUIRES rooms that
// hold them.
std::vector<double> Pour(int32_t layers, const std::vector<double>& speeds,
                         const std::vector<int32_t>& rooms) {
  double low = 0;
  double high = 0;
  for (const double speed : speeds) {
    if (speed > 0) high = std::max(high, layers / speed);
  }
  constexpr int kHalvings = 200;
  for (int i = 0; i < kHalvings; ++i) {
    const double level = (low + high) / 2;
    (Sum(Poured(speeds, rooms, level)) < layers ? low : high) = level;
  }
  return Poured(speeds, rooms, high);
}

int32_t TotalRoom(const PlanProblem& problem, const Chain& chain) {
  int32_t sum = 0;
  for (const int32_t room : LayerCapacities(problem, chain)) sum += room;
  return sum;
}

class WaterFilling final : public Strategy {
 public:
  std::string_view name() const override { return "water-filling"; }
  std::string_view description() const override {
    return "the fewest devices that hold the model, filled in proportion to speed (Parallax 2025)";
  }

  Result<Plan> Place(const PlanProblem& problem) const override {
    RETURN_IF_ERROR(CheckProblem(problem));
    const Chain chain = FewestStages(problem);
    const std::vector<double> speeds =
        WeightsOf(chain, [&](int32_t device) { return DecodeSpeed(problem, device); });
    const std::vector<int32_t> rooms = LayerCapacities(problem, chain);
    const int32_t layers = problem.model.layer_count();
    if (TotalRoom(problem, chain) < layers) return PlaceCounts(problem, chain, rooms, name());
    return PlaceCounts(
        problem, chain,
        Apportion(layers, Pour(layers, speeds, rooms), LeastLayers(problem, chain), rooms), name());
  }

 private:
  // Devices with the most room, and required ones, until the model fits.
  static Chain FewestStages(const PlanProblem& problem) {
    std::vector<int32_t> by_room = UsableDevices(problem);
    const auto memory = [&](int32_t device) {
      return problem.cluster.devices[static_cast<size_t>(device)].memory_bytes;
    };
    std::stable_sort(by_room.begin(), by_room.end(),
                     [&](int32_t a, int32_t b) { return memory(a) > memory(b); });
    std::vector<int32_t> chosen = problem.constraints.required;
    Chain chain = ChainOf(problem, chosen);
    for (const int32_t device : by_room) {
      if (!chain.devices.empty() && TotalRoom(problem, chain) >= problem.model.layer_count()) break;
      if (std::find(chosen.begin(), chosen.end(), device) != chosen.end()) continue;
      chosen.push_back(device);
      std::sort(chosen.begin(), chosen.end());
      chain = ChainOf(problem, chosen);
    }
    return chain;
  }
};

}  // namespace

std::unique_ptr<Strategy> MakeWaterFilling() { return std::make_unique<WaterFilling>(); }

}  // namespace shoal

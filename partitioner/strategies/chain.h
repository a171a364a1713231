// What strategies share that give each device of an ordered chain a number of layers.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "partitioner/plan.h"

namespace shoal {

// Devices in the order of their stages. Where the problem pins both ends to one device, it stands
// first and last, and its last position holds the model's last layer only.
struct Chain {
  std::vector<int32_t> devices;
  bool returns = false;
};

// Devices that are not excluded, in order.
std::vector<int32_t> UsableDevices(const PlanProblem& problem);

// `devices` in their order, but for pinned ends: these are moved there, or added.
Chain ChainOf(const PlanProblem& problem, const std::vector<int32_t>& devices);

// `weight` of the device at each position; nothing where a device stands again.
std::vector<double> WeightsOf(const Chain& chain, const std::function<double(int32_t)>& weight);

// For each position the layers that it must have: one for pinned ends and required devices.
std::vector<int32_t> LeastLayers(const PlanProblem& problem, const Chain& chain);

// For each position the most layers that its device's memory holds, counting every layer as the
// largest one, and embedding and head where they will lie if all positions are used. Conservative,
// so that EvaluatePlan agrees.
std::vector<int32_t> LayerCapacities(const PlanProblem& problem, const Chain& chain);

// Tokens per second of the device over the whole model, decoding alone.
double DecodeSpeed(const PlanProblem& problem, int32_t device);

// Layers by position: `least`, then one at a time to the position furthest below its share of
// `layers`, none above its capacity; where all that may grow have their share, to the largest
// share. `weights` are shares in any unit. Sums to less than `layers` if the capacities do.
std::vector<int32_t> Apportion(int32_t layers, const std::vector<double>& weights,
                               const std::vector<int32_t>& least,
                               const std::vector<int32_t>& capacity);

// The plan with these counts by position; positions without layers are left out. Errors:
// kResourceExhausted if the counts do not sum to the model's layers, and those of EvaluatePlan.
Result<Plan> PlaceCounts(const PlanProblem& problem, const Chain& chain,
                         const std::vector<int32_t>& counts, std::string_view strategy);

}  // namespace shoal

// Devices that a plan need not tell apart: a search counts how many of them it has used, instead of
// which ones.
#pragma once

#include <cstdint>
#include <vector>

#include "partitioner/problem.h"

namespace shoal {

struct DeviceGroup {
  std::vector<int32_t> devices;  // ascending, at least one
  bool required = false;         // all of them must hold a layer
};

// The devices that are not excluded, in groups of alike ones: same profile apart from the names,
// same links to every endpoint and among each other, same constraints. With keep_order, and for a
// pinned device, a group has one device. Groups ascend by their first device.
std::vector<DeviceGroup> GroupDevices(const PlanProblem& problem);

}  // namespace shoal

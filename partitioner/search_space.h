// What a search chooses from: groups of devices that a plan need not tell apart, so that it counts
// how many of them it has used, and the numbers of stages that make a difference.
#pragma once

#include <cstdint>
#include <vector>

#include "partitioner/cut_graph.h"
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

struct SearchSpace {
  std::vector<DeviceGroup> groups;
  int32_t both_ends = -1;  // a device that holds the first and the last stage; in no group
  bool ordered = false;    // stages in the order of the groups
};
SearchSpace MakeSearchSpace(const PlanProblem& problem);

// Plans that are charged alike: with so many steps in flight, and so many stages of the groups.
struct StepVariant {
  int32_t in_flight = 1;
  StageCount stages;
};
// Ascending. One where the period does not count or there is one session: then the number of stages
// makes no difference. None if no number of stages is possible.
std::vector<StepVariant> StepVariants(const PlanProblem& problem, const SearchSpace& space);

// All devices of the space; at both ends too.
int32_t DeviceCount(const SearchSpace& space);

}  // namespace shoal

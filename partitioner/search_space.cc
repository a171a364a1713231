#include "partitioner/search_space.h"

#include <algorithm>

namespace shoal {

namespace {

bool SameCost(const LinkProfile& a, const LinkProfile& b) {
  if (!a.usable || !b.usable) return a.usable == b.usable;
  return a.latency_s == b.latency_s && a.bytes_per_s == b.bytes_per_s;
}

bool SameProfile(DeviceProfile a, const DeviceProfile& b) {
  a.name = b.name;
  a.hardware = b.hardware;
  a.source = b.source;
  return a == b;
}

bool SameLinks(const Cluster& cluster, int32_t a, int32_t b) {
  for (int32_t other = 0; other < cluster.endpoint_count(); ++other) {
    if (other == a || other == b) continue;
    if (!SameCost(cluster.link(a, other), cluster.link(b, other))) return false;
    if (!SameCost(cluster.link(other, a), cluster.link(other, b))) return false;
  }
  return SameCost(cluster.link(a, b), cluster.link(b, a));
}

}  // namespace

std::vector<DeviceGroup> GroupDevices(const PlanProblem& problem) {
  const Cluster& cluster = problem.cluster;
  const Constraints& constraints = problem.constraints;
  const auto alone = [&](int32_t device) {
    return constraints.keep_order || device == constraints.first || device == constraints.last;
  };
  std::vector<DeviceGroup> groups;
  for (int32_t device = 0; device < cluster.device_count(); ++device) {
    if (Contains(constraints.excluded, device)) continue;
    const bool required = Contains(constraints.required, device);
    const auto alike = std::find_if(groups.begin(), groups.end(), [&](const DeviceGroup& group) {
      const int32_t other = group.devices.front();
      return group.required == required && !alone(device) && !alone(other) &&
             SameProfile(cluster.devices[static_cast<size_t>(device)],
                         cluster.devices[static_cast<size_t>(other)]) &&
             SameLinks(cluster, device, other);
    });
    if (alike == groups.end()) {
      groups.push_back({{device}, required});
    } else {
      alike->devices.push_back(device);
    }
  }
  return groups;
}

SearchSpace MakeSearchSpace(const PlanProblem& problem) {
  SearchSpace space;
  space.groups = GroupDevices(problem);
  const Constraints& constraints = problem.constraints;
  space.ordered = constraints.keep_order;
  if (constraints.first == -1 || constraints.first != constraints.last) return space;
  space.both_ends = constraints.first;
  std::erase_if(space.groups,
                [&](const DeviceGroup& group) { return group.devices.front() == space.both_ends; });
  return space;
}

int32_t DeviceCount(const SearchSpace& space) {
  size_t count = space.both_ends >= 0 ? 1 : 0;
  for (const DeviceGroup& group : space.groups) count += group.devices.size();
  return static_cast<int32_t>(count);
}

std::vector<StepVariant> StepVariants(const PlanProblem& problem, const SearchSpace& space) {
  const int32_t sessions = problem.workload.sessions;
  if (problem.objective.period_weight == 0 || sessions == 1) return {{1, StageCount()}};
  const int32_t at_ends = space.both_ends >= 0 ? 2 : 0;
  const int32_t twice = space.both_ends >= 0 ? 1 : 0;
  const int32_t most = std::min(DeviceCount(space) + twice, problem.model.layer_count());
  std::vector<StepVariant> variants;
  for (int32_t stages = at_ends + 1; stages <= most && stages < sessions; ++stages) {
    variants.push_back({stages, {stages - at_ends, stages - at_ends}});
  }
  if (most >= sessions) variants.push_back({sessions, {std::max(1, sessions - at_ends)}});
  return variants;
}

}  // namespace shoal

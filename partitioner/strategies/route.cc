#include "partitioner/strategies/route.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>

#include "partitioner/cost_model.h"

namespace shoal {

namespace {

constexpr double kEndless = std::numeric_limits<double>::infinity();

struct Way {
  double seconds = kEndless;
  std::vector<Placement> stages;
};

// Ways go over slots: one for each device, and, where the source must hold both ends, one more for
// its second stage, which no way leaves.
class Router {
 public:
  Router(const PlanProblem& problem, const RouteRules& rules)
      : problem_(problem),
        rules_(rules),
        costs_(problem, DecodeStep(problem.workload)),
        layers_(problem.model.layer_count()),
        returns_(problem.constraints.first != -1 &&
                 problem.constraints.first == problem.constraints.last) {}

  Way Best() const {
    std::vector<Way> ways = Start();
    for (int32_t layer = 1; layer < layers_; ++layer) ways = Next(ways, layer);
    Way best;
    for (size_t slot = 0; slot < ways.size(); ++slot) {
      const int32_t device = DeviceOf(slot);
      if (problem_.constraints.last != -1 && problem_.constraints.last != device) continue;
      const double seconds = ways[slot].seconds + costs_.head_s(device) +
                             costs_.control_hop_s(device, problem_.cluster.coordinator());
      if (seconds < best.seconds) best = {seconds, ways[slot].stages};
    }
    return best;
  }

 private:
  size_t slot_count() const { return problem_.cluster.devices.size() + (returns_ ? 1 : 0); }
  bool SecondOfSource(size_t slot) const { return slot == problem_.cluster.devices.size(); }
  int32_t DeviceOf(size_t slot) const {
    return SecondOfSource(slot) ? problem_.constraints.first : static_cast<int32_t>(slot);
  }

  bool Excluded(int32_t device) const {
    const std::vector<int32_t>& excluded = problem_.constraints.excluded;
    return std::find(excluded.begin(), excluded.end(), device) != excluded.end();
  }

  // Whether the device holds the range beside what it holds already.
  bool Fits(int32_t device, StageRange range, int64_t held_bytes) const {
    return held_bytes + MemoryOf(problem_, range).needed_bytes() <=
           problem_.cluster.devices[static_cast<size_t>(device)].memory_bytes;
  }

  std::vector<Way> Start() const {
    std::vector<Way> ways(slot_count());
    for (const int32_t device : rules_.sources) {
      if (Excluded(device) || !rules_.allowed(device, 0) || !Fits(device, {0, 1}, 0)) continue;
      Way& way = ways[static_cast<size_t>(device)];
      way.seconds = costs_.control_hop_s(problem_.cluster.coordinator(), device) +
                    costs_.step_s(device) + costs_.layers_s(device, {0, 1});
      way.stages = {{device, {0, 1}}};
    }
    return ways;
  }

  // Every way goes one layer further, on its slot or another.
  std::vector<Way> Next(const std::vector<Way>& ways, int32_t layer) const {
    std::vector<Way> next(ways.size());
    for (size_t to = 0; to < ways.size(); ++to) {
      const int32_t device = DeviceOf(to);
      if (Excluded(device) || !rules_.allowed(device, layer)) continue;
      for (size_t from = 0; from < ways.size(); ++from) {
        const double seconds = SecondsTo(ways[from], from, to, layer);
        if (!(seconds < next[to].seconds)) continue;
        next[to].seconds = seconds;
        next[to].stages = ways[from].stages;
        if (from == to) {
          ++next[to].stages.back().layers.end;
        } else {
          next[to].stages.push_back({device, {layer, layer + 1}});
        }
      }
    }
    return next;
  }

  double SecondsTo(const Way& way, size_t from, size_t to, int32_t layer) const {
    if (way.stages.empty()) return kEndless;
    const int32_t device = DeviceOf(to);
    const double seconds = way.seconds + costs_.layers_s(device, {layer, layer + 1});
    const int64_t held_bytes =
        SecondOfSource(to) ? MemoryOf(problem_, way.stages.front().layers).needed_bytes() : 0;
    if (from == to) {
      const StageRange longer{way.stages.back().layers.begin, layer + 1};
      return Fits(device, longer, held_bytes) ? seconds : kEndless;
    }
    if (!MayEnter(way, from, to) || !Fits(device, {layer, layer + 1}, held_bytes)) return kEndless;
    return seconds + costs_.hop_s(DeviceOf(from), device, layer) + costs_.step_s(device);
  }

  bool MayEnter(const Way& way, size_t from, size_t to) const {
    if (SecondOfSource(to)) return way.stages.size() > 1;
    const bool leaves_last =
        returns_ ? SecondOfSource(from) : static_cast<int32_t>(from) == problem_.constraints.last;
    const bool used = std::any_of(
        way.stages.begin(), way.stages.end(),
        [to](const Placement& stage) { return stage.device == static_cast<int32_t>(to); });
    return !leaves_last && !used;
  }

  const PlanProblem& problem_;
  const RouteRules& rules_;
  StepCosts costs_;
  int32_t layers_;
  bool returns_;
};

}  // namespace

int32_t SourceDevice(const PlanProblem& problem) {
  if (problem.constraints.first != -1) return problem.constraints.first;
  const StepCosts costs(problem, DecodeStep(problem.workload));
  const std::vector<int32_t>& excluded = problem.constraints.excluded;
  int32_t nearest = 0;
  double least_s = kEndless;
  for (int32_t device = 0; device < problem.cluster.device_count(); ++device) {
    if (std::find(excluded.begin(), excluded.end(), device) != excluded.end()) continue;
    const double seconds = costs.control_hop_s(problem.cluster.coordinator(), device);
    if (!(seconds < least_s)) continue;
    nearest = device;
    least_s = seconds;
  }
  return nearest;
}

Result<Plan> PlaceByRoute(const PlanProblem& problem, const RouteRules& rules,
                          std::string_view strategy) {
  Way way = Router(problem, rules).Best();
  if (way.stages.empty()) {
    return ResourceExhausted(
        fmt::format("no way through the devices holds all {} layers with KV for {} tokens",
                    problem.model.layer_count(), problem.workload.kv_tokens));
  }
  return EvaluatePlan(problem, way.stages, std::string(strategy));
}

}  // namespace shoal

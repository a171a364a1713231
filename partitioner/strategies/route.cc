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

class Router {
 public:
  Router(const PlanProblem& problem, const RouteRules& rules)
      : problem_(problem),
        rules_(rules),
        costs_(problem, DecodeStep(problem.workload)),
        layers_(problem.model.layer_count()),
        returns_(problem.constraints.first != -1 &&
                 problem.constraints.first == problem.constraints.last && layers_ > 1) {}

  Way Best() {
    std::vector<Way> ways = Start();
    const int32_t end = returns_ ? layers_ - 1 : layers_;
    for (int32_t layer = 1; layer < end; ++layer) ways = Next(ways, layer);
    return returns_ ? Returned(ways) : Ended(ways);
  }

 private:
  bool Excluded(int32_t device) const {
    const std::vector<int32_t>& excluded = problem_.constraints.excluded;
    return std::find(excluded.begin(), excluded.end(), device) != excluded.end();
  }

  // Whether the device holds the range, and, being the source of a way that returns, the last
  // layer.
  bool Fits(int32_t device, StageRange range) const {
    int64_t needed = MemoryOf(problem_, range).needed_bytes();
    if (returns_ && device == problem_.constraints.first && range.end < layers_) {
      needed += MemoryOf(problem_, {layers_ - 1, layers_}).needed_bytes();
    }
    return needed <= problem_.cluster.devices[static_cast<size_t>(device)].memory_bytes;
  }

  std::vector<Way> Start() const {
    std::vector<Way> ways(problem_.cluster.devices.size());
    for (const int32_t device : rules_.sources) {
      if (Excluded(device) || !rules_.allowed(device, 0) || !Fits(device, {0, 1})) continue;
      Way& way = ways[static_cast<size_t>(device)];
      way.seconds = costs_.control_hop_s(problem_.cluster.coordinator(), device) +
                    costs_.step_s(device) + costs_.layers_s(device, {0, 1});
      way.stages = {{device, {0, 1}}};
    }
    return ways;
  }

  // Every way goes one layer further, on its device or another.
  std::vector<Way> Next(const std::vector<Way>& ways, int32_t layer) const {
    std::vector<Way> next(ways.size());
    for (size_t to = 0; to < ways.size(); ++to) {
      const auto device = static_cast<int32_t>(to);
      if (Excluded(device) || !rules_.allowed(device, layer)) continue;
      for (size_t from = 0; from < ways.size(); ++from) {
        const double seconds = SecondsTo(ways[from], static_cast<int32_t>(from), device, layer);
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

  double SecondsTo(const Way& way, int32_t from, int32_t to, int32_t layer) const {
    if (way.stages.empty()) return kEndless;
    const double seconds = way.seconds + costs_.layers_s(to, {layer, layer + 1});
    if (from == to) {
      return Fits(to, {way.stages.back().layers.begin, layer + 1}) ? seconds : kEndless;
    }
    const bool used = std::any_of(way.stages.begin(), way.stages.end(),
                                  [to](const Placement& stage) { return stage.device == to; });
    const bool leaves_last = !returns_ && from == problem_.constraints.last;
    if (used || leaves_last || !Fits(to, {layer, layer + 1})) return kEndless;
    return seconds + costs_.hop_s(from, to, layer) + costs_.step_s(to);
  }

  Way Ended(std::vector<Way>& ways) const {
    Way best;
    for (size_t i = 0; i < ways.size(); ++i) {
      const auto device = static_cast<int32_t>(i);
      if (ways[i].stages.empty()) continue;
      if (problem_.constraints.last != -1 && problem_.constraints.last != device) continue;
      const double seconds = ways[i].seconds + costs_.head_s(device) +
                             costs_.control_hop_s(device, problem_.cluster.coordinator());
      if (!(seconds < best.seconds)) continue;
      best = {seconds, ways[i].stages};
    }
    return best;
  }

  // Back to the source for the last layer.
  Way Returned(std::vector<Way>& ways) const {
    const int32_t source = problem_.constraints.first;
    const StageRange last{layers_ - 1, layers_};
    Way best;
    for (size_t i = 0; i < ways.size(); ++i) {
      const auto device = static_cast<int32_t>(i);
      if (ways[i].stages.empty()) continue;
      double seconds = ways[i].seconds + costs_.layers_s(source, last);
      std::vector<Placement> stages = ways[i].stages;
      if (device == source) {
        if (!Fits(source, {0, layers_})) continue;
        stages.back().layers.end = layers_;
      } else {
        seconds += costs_.hop_s(device, source, layers_ - 1) + costs_.step_s(source);
        stages.push_back({source, last});
      }
      if (seconds < best.seconds) best = {seconds, std::move(stages)};
    }
    return best;
  }

  const PlanProblem& problem_;
  const RouteRules& rules_;
  StepCosts costs_;
  int32_t layers_;
  bool returns_;  // the source also holds the last layer
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

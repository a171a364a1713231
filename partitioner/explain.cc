#include "partitioner/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "partitioner/cost_model.h"
#include "partitioner/large_search.h"
#include "partitioner/order_search.h"

namespace shoal {

namespace {

// Work for one further plan, in the unit of SearchPlan: some hundredths of a second.
constexpr double kPlanWork = 3e7;
constexpr double kLeastGain = 1e-3;

void Raise(Bottleneck& bottleneck, const Bottleneck& other) {
  if (other.seconds > bottleneck.seconds) bottleneck = other;
}

Bottleneck DecodeBottleneck(const PlanProblem& problem, const Plan& plan) {
  using Kind = Bottleneck::Kind;
  const StepCosts costs(problem, DecodeStep(problem.workload));
  const int32_t coordinator = problem.cluster.coordinator();
  const int32_t first = plan.stages.front().device;
  Bottleneck worst = {Kind::kLink, coordinator, first, costs.control_hop_s(coordinator, first), 0};
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    const PlannedStage& stage = plan.stages[i];
    const int32_t next = i + 1 < plan.stages.size() ? plan.stages[i + 1].device : coordinator;
    double busy_s = 0;
    for (const PlannedStage& other : plan.stages) {
      if (other.device == stage.device) busy_s += other.decode_s;
    }
    Raise(worst, {Kind::kLink, stage.device, next, stage.decode_hop_s, 0});
    Raise(worst, {Kind::kDevice, stage.device, -1, busy_s, 0});
  }
  const double decode_s = plan.prediction.decode_s;
  worst.share = decode_s > 0 ? worst.seconds / decode_s : 0;
  return worst;
}

Bottleneck ThroughputBottleneck(const PlanProblem& problem, const Plan& plan) {
  using Kind = Bottleneck::Kind;
  const auto stages = static_cast<int32_t>(plan.stages.size());
  const StepShape step = BatchedDecodeStep(problem.workload, stages);
  const StepCosts costs(problem, step);
  const double step_s = step.tokens / plan.prediction.tokens_per_s;
  Bottleneck worst;
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    const PlannedStage& stage = plan.stages[i];
    Raise(worst, {Kind::kDevice, stage.device, -1, stage.utilization * step_s, 0});
    if (i + 1 == plan.stages.size()) break;
    const int32_t next = plan.stages[i + 1].device;
    Raise(worst, {Kind::kLink, stage.device, next,
                  costs.occupancy_s(stage.device, next, stage.layers.end), 0});
  }
  constexpr double kRounding = 1e-9;
  if (worst.seconds < step_s * (1 - kRounding)) worst = {Kind::kPassage, 0, -1, step_s, 0};
  worst.share = step_s > 0 ? worst.seconds / step_s : 0;
  return worst;
}

// The best plan that can be found quickly.
std::optional<Plan> PlanQuickly(const PlanProblem& problem) {
  const std::vector<Placement> placements = IsQuicklySearchable(problem)
                                                ? SearchPlan(problem, kPlanWork).placements
                                                : SearchOrders(problem, kPlanWork);
  if (placements.empty()) return std::nullopt;
  Result<Plan> plan = EvaluatePlan(problem, placements, "");
  if (!plan.ok()) return std::nullopt;
  return *std::move(plan);
}

void SpeedUp(LinkProfile& link) {
  link.usable = true;
  link.latency_s = std::min(link.latency_s, kFastLatencyS);
  link.bytes_per_s = std::max(link.bytes_per_s, kFastBytesPerS);
}

void SpeedUp(DeviceProfile& device) {
  constexpr double kTwice = 2;
  for (TypeSpeed& speed : device.speeds) {
    for (BatchSpeed& batch : speed.batches) batch.bytes_per_s *= kTwice;
  }
  device.attention_decode_macs_per_s *= kTwice;
  device.attention_prefill_macs_per_s *= kTwice;
  device.elementwise_values_per_s *= kTwice;
  for (double* seconds : {&device.matrix_s, &device.layer_s, &device.step_s}) *seconds /= kTwice;
  for (double& seconds : device.given_layer_s) seconds /= kTwice;
}

// The new device has the old one's links, and to it the best of those.
void AddTwin(PlanProblem& problem, int32_t device) {
  const Cluster old = problem.cluster;
  Cluster& cluster = problem.cluster;
  cluster.devices.push_back(old.devices[static_cast<size_t>(device)]);
  cluster.devices.back().name += " (added)";
  const auto original = [&](int32_t endpoint) {
    if (endpoint == cluster.coordinator()) return old.coordinator();
    return endpoint == old.device_count() ? device : endpoint;
  };
  LinkProfile between = old.link(device, old.coordinator());
  for (int32_t other = 0; other < old.endpoint_count(); ++other) {
    const LinkProfile& link = old.link(device, other);
    if (other == device || !link.usable) continue;
    if (!between.usable || link.latency_s < between.latency_s) between = link;
  }
  cluster.links.clear();
  for (int32_t from = 0; from < cluster.endpoint_count(); ++from) {
    for (int32_t to = 0; to < cluster.endpoint_count(); ++to) {
      const bool twins = original(from) == device && original(to) == device;
      cluster.links.push_back(twins ? between : old.link(original(from), original(to)));
    }
  }
}

PlanProblem Changed(const PlanProblem& problem, const Change& change) {
  PlanProblem changed = problem;
  Cluster& cluster = changed.cluster;
  const int32_t d = change.device;
  switch (change.kind) {
    case Change::Kind::kDeviceTwiceAsFast: SpeedUp(cluster.devices[static_cast<size_t>(d)]); break;
    case Change::Kind::kMemoryDoubled:
      cluster.devices[static_cast<size_t>(d)].memory_bytes *= 2;
      break;
    case Change::Kind::kFastLinks:
      for (int32_t other = 0; other < cluster.endpoint_count(); ++other) {
        if (other == d) continue;
        SpeedUp(cluster.link(d, other));
        SpeedUp(cluster.link(other, d));
      }
      break;
    case Change::Kind::kFastLink:
      SpeedUp(cluster.link(d, change.to));
      SpeedUp(cluster.link(change.to, d));
      break;
    case Change::Kind::kDeviceAdded: AddTwin(changed, d); break;
  }
  return changed;
}

// What might help, the likeliest first: the plan's own devices and links before the others.
std::vector<Change> Candidates(const PlanProblem& problem, const Plan& plan) {
  using Kind = Change::Kind;
  std::vector<int32_t> devices;
  std::vector<Change> changes;
  const int32_t coordinator = problem.cluster.coordinator();
  int32_t before = coordinator;
  for (const PlannedStage& stage : plan.stages) {
    if (!Contains(devices, stage.device)) devices.push_back(stage.device);
    changes.push_back({Kind::kFastLink, before, stage.device});
    before = stage.device;
  }
  changes.push_back({Kind::kFastLink, before, coordinator});
  for (int32_t d = 0; d < problem.cluster.device_count(); ++d) {
    if (!Contains(devices, d) && !Contains(problem.constraints.excluded, d)) devices.push_back(d);
  }
  for (const int32_t d : devices) {
    changes.push_back({Kind::kFastLinks, d});
    changes.push_back({Kind::kMemoryDoubled, d});
    changes.push_back({Kind::kDeviceTwiceAsFast, d});
  }
  const auto busiest = std::max_element(plan.stages.begin(), plan.stages.end(),
                                        [](const PlannedStage& a, const PlannedStage& b) {
                                          return a.layers.size() < b.layers.size();
                                        });
  changes.push_back({Kind::kDeviceAdded, busiest->device});
  return changes;
}

}  // namespace

Explanation Explain(const PlanProblem& problem, const Plan& plan, int32_t max_plans) {
  Explanation explanation;
  explanation.decode = DecodeBottleneck(problem, plan);
  explanation.throughput = ThroughputBottleneck(problem, plan);
  const std::vector<Placement> placements = PlacementsOf(plan);
  int32_t plans = 0;
  for (int32_t d = 0; d < problem.cluster.device_count(); ++d) {
    const bool used = std::any_of(placements.begin(), placements.end(),
                                  [d](const Placement& p) { return p.device == d; });
    if (used || Contains(problem.constraints.excluded, d)) continue;
    explanation.left_out.push_back({d, 0, 0});
    if (++plans > max_plans) continue;
    PlanProblem with = problem;
    with.constraints.required.push_back(d);
    const std::optional<Plan> best = PlanQuickly(with);
    if (!best || plan.objective <= 0) continue;
    explanation.left_out.back().objective = best->objective;
    explanation.left_out.back().ratio = std::max(1.0, best->objective / plan.objective);
  }
  for (Change& change : Candidates(problem, plan)) {
    if (++plans > max_plans) continue;
    const PlanProblem changed = Changed(problem, change);
    change.before = change.after = plan.objective;
    const Result<Plan> kept = EvaluatePlan(changed, placements, "");
    if (kept.ok()) change.after = std::min(change.after, kept->objective);
    const std::optional<Plan> best = PlanQuickly(changed);
    if (best) change.after = std::min(change.after, best->objective);
    if (change.after < change.before * (1 - kLeastGain)) explanation.changes.push_back(change);
  }
  explanation.not_tried = std::max(0, plans - max_plans);
  std::stable_sort(explanation.changes.begin(), explanation.changes.end(),
                   [](const Change& a, const Change& b) { return a.after < b.after; });
  return explanation;
}

std::string DescribeChange(const Cluster& cluster, const Change& change) {
  const auto name = [&](int32_t endpoint) -> std::string {
    if (endpoint == cluster.coordinator()) return "the coordinator";
    return cluster.devices[static_cast<size_t>(endpoint)].name;
  };
  switch (change.kind) {
    case Change::Kind::kDeviceTwiceAsFast: return name(change.device) + " twice as fast";
    case Change::Kind::kMemoryDoubled: return name(change.device) + " with twice the memory";
    case Change::Kind::kFastLinks: return "a cable for " + name(change.device);
    case Change::Kind::kFastLink:
      return fmt::format("a cable between {} and {}", name(change.device), name(change.to));
    case Change::Kind::kDeviceAdded: return "one more device like " + name(change.device);
  }
  return "";
}

Shortage FindShortage(const PlanProblem& problem) {
  Shortage shortage;
  shortage.needed_bytes = MemoryOf(problem, {0, problem.model.layer_count()}).needed_bytes();
  for (int32_t d = 0; d < problem.cluster.device_count(); ++d) {
    if (Contains(problem.constraints.excluded, d)) continue;
    shortage.available_bytes += problem.cluster.devices[static_cast<size_t>(d)].memory_bytes;
  }
  return shortage;
}

}  // namespace shoal

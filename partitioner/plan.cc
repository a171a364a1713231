#include "partitioner/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/check.h"
#include "partitioner/cost_model.h"

namespace shoal {

namespace {

const std::string& NameOf(const PlanProblem& problem, int32_t device) {
  return problem.cluster.devices[static_cast<size_t>(device)].name;
}

Status CheckCover(const PlanProblem& problem, const std::vector<Placement>& placements) {
  if (placements.empty()) return InvalidArgument("the split has no parts");
  int32_t next = 0;
  for (const Placement& placement : placements) {
    const StageRange range = placement.layers;
    if (range.begin != next || range.end <= range.begin) {
      return InvalidArgument(fmt::format(
          "layers [{}, {}) do not follow on layer {}: parts are contiguous and not empty",
          range.begin, range.end, next));
    }
    if (placement.device < 0 || placement.device >= problem.cluster.device_count()) {
      return InvalidArgument(fmt::format("layers [{}, {}): there is no device {} of {}",
                                         range.begin, range.end, placement.device,
                                         problem.cluster.device_count()));
    }
    next = range.end;
  }
  if (next != problem.model.layer_count()) {
    return InvalidArgument(fmt::format("the split covers {} layers, the model has {}", next,
                                       problem.model.layer_count()));
  }
  return OkStatus();
}

Status CheckNeighbours(const PlanProblem& problem, const std::vector<Placement>& placements) {
  for (size_t i = 1; i < placements.size(); ++i) {
    if (placements[i].device != placements[i - 1].device) continue;
    return InvalidArgument(fmt::format("{}: layers [{}, {}) follow on its own: they are one part",
                                       NameOf(problem, placements[i].device),
                                       placements[i].layers.begin, placements[i].layers.end));
  }
  return OkStatus();
}

// Whether the device may stand twice: it was told to keep both ends.
bool HoldsBothEnds(const PlanProblem& problem, const std::vector<Placement>& placements,
                   int32_t device) {
  const Constraints& constraints = problem.constraints;
  return device == constraints.first && device == constraints.last &&
         placements.front().device == device && placements.back().device == device;
}

Status CheckUses(const PlanProblem& problem, const std::vector<Placement>& placements) {
  std::map<int32_t, int> uses;
  for (const Placement& placement : placements) ++uses[placement.device];
  for (const auto& [device, count] : uses) {
    if (Contains(problem.constraints.excluded, device)) {
      return InvalidArgument(NameOf(problem, device) + ": it is excluded, but has a part");
    }
    if (count == 1 || (count == 2 && HoldsBothEnds(problem, placements, device))) continue;
    return InvalidArgument(
        fmt::format("{}: it has {} parts, one is allowed", NameOf(problem, device), count));
  }
  for (const int32_t device : problem.constraints.required) {
    if (uses.count(device) == 0) {
      return InvalidArgument(NameOf(problem, device) + ": it is required, but has no part");
    }
  }
  return OkStatus();
}

Status CheckEnd(const PlanProblem& problem, const char* which, int32_t wanted, int32_t device) {
  if (wanted == -1 || wanted == device) return OkStatus();
  return InvalidArgument(fmt::format("the {} part is on {}, it must be on {}", which,
                                     NameOf(problem, device), NameOf(problem, wanted)));
}

Status CheckOrder(const PlanProblem& problem, const std::vector<Placement>& placements) {
  if (!problem.constraints.keep_order) return OkStatus();
  for (size_t i = 1; i < placements.size(); ++i) {
    if (placements[i].device > placements[i - 1].device) continue;
    return InvalidArgument(fmt::format("{} stands after {}: the devices' order must be kept",
                                       NameOf(problem, placements[i].device),
                                       NameOf(problem, placements[i - 1].device)));
  }
  return OkStatus();
}

Status CheckLinks(const PlanProblem& problem, const std::vector<Placement>& placements) {
  const Cluster& cluster = problem.cluster;
  const auto usable = [&](int32_t from, int32_t to) { return cluster.link(from, to).usable; };
  if (!usable(cluster.coordinator(), placements.front().device)) {
    return InvalidArgument("the coordinator cannot reach " +
                           NameOf(problem, placements.front().device));
  }
  if (!usable(placements.back().device, cluster.coordinator())) {
    return InvalidArgument(NameOf(problem, placements.back().device) +
                           " cannot reach the coordinator");
  }
  for (size_t i = 1; i < placements.size(); ++i) {
    if (usable(placements[i - 1].device, placements[i].device)) continue;
    return InvalidArgument(fmt::format("{} cannot reach {}",
                                       NameOf(problem, placements[i - 1].device),
                                       NameOf(problem, placements[i].device)));
  }
  return OkStatus();
}

Status CheckMemory(const PlanProblem& problem, const std::vector<PlannedStage>& stages) {
  std::map<int32_t, int64_t> needed;
  for (const PlannedStage& stage : stages) needed[stage.device] += stage.needed_bytes;
  for (const PlannedStage& stage : stages) {
    const DeviceProfile& device = problem.cluster.devices[static_cast<size_t>(stage.device)];
    if (needed[stage.device] <= device.memory_bytes) continue;
    return ResourceExhausted(fmt::format(
        "{}: layers [{}, {}) need {:.0f} MiB with KV for {} tokens and margin, it has {:.0f} MiB",
        device.name, stage.layers.begin, stage.layers.end,
        static_cast<double>(needed[stage.device]) / (1 << 20), problem.workload.kv_tokens,
        static_cast<double>(device.memory_bytes) / (1 << 20)));
  }
  return OkStatus();
}

// Time of one step through all stages, and the busiest device or link.
struct Passage {
  double total_s = 0;
  double slowest_s = 0;
  std::map<int32_t, double> busy_s;  // by device
};

Passage Walk(const PlanProblem& problem, const std::vector<Placement>& placements,
             const StepShape& step) {
  const StepCosts costs(problem, step);
  Passage passage;
  const int32_t coordinator = problem.cluster.coordinator();
  passage.total_s = costs.control_hop_s(coordinator, placements.front().device) +
                    costs.control_hop_s(placements.back().device, coordinator);
  for (size_t i = 0; i < placements.size(); ++i) {
    const auto [device, range] = placements[i];
    const double stage_s = costs.stage_s(device, range);
    passage.total_s += stage_s;
    passage.busy_s[device] += stage_s;
    if (i + 1 == placements.size()) break;
    const int32_t next = placements[i + 1].device;
    passage.total_s += costs.hop_s(device, next, range.end);
    passage.slowest_s = std::max(passage.slowest_s, costs.occupancy_s(device, next, range.end));
  }
  for (const auto& [device, busy_s] : passage.busy_s) {
    passage.slowest_s = std::max(passage.slowest_s, busy_s);
  }
  return passage;
}

double JoulesPerToken(const PlanProblem& problem, const Passage& decode) {
  double joules = 0;
  for (const auto& [index, busy_s] : decode.busy_s) {
    const DeviceProfile& device = problem.cluster.devices[static_cast<size_t>(index)];
    if (device.busy_watts <= 0) return 0;
    joules += device.busy_watts * busy_s + device.idle_watts * (decode.total_s - busy_s);
  }
  return joules;
}

void Predict(const PlanProblem& problem, const std::vector<Placement>& placements, Plan& plan) {
  const Workload& workload = problem.workload;
  const auto stages = static_cast<int32_t>(placements.size());
  const Passage decode = Walk(problem, placements, DecodeStep(workload));
  plan.prediction.decode_s = decode.total_s;
  plan.prediction.joules_per_token = JoulesPerToken(problem, decode);

  const StepShape batch = BatchedDecodeStep(workload, stages);
  const Passage batched = Walk(problem, placements, batch);
  constexpr double kLeastStepS = 1e-12;  // of a model that costs nothing
  const double step_s =
      std::max({batched.total_s / StepsInFlight(workload, stages), batched.slowest_s, kLeastStepS});
  plan.prediction.tokens_per_s = batch.tokens / step_s;
  for (PlannedStage& stage : plan.stages) {
    stage.utilization = batched.busy_s.at(stage.device) / step_s;
  }

  const Passage chunk = Walk(problem, placements, PrefillStep(workload));
  const StepCosts costs(problem, PrefillStep(workload));
  plan.prediction.first_token_s = chunk.total_s + costs.head_s(placements.back().device) +
                                  (PrefillChunks(workload) - 1) * chunk.slowest_s;
}

double Value(const Objective& objective, const Prediction& prediction) {
  return objective.decode_weight * prediction.decode_s +
         objective.period_weight / prediction.tokens_per_s +
         objective.first_token_weight * prediction.first_token_s;
}

std::vector<PlannedStage> Charge(const PlanProblem& problem,
                                 const std::vector<Placement>& placements) {
  const StepCosts decode(problem, DecodeStep(problem.workload));
  const StepCosts prefill(problem, PrefillStep(problem.workload));
  std::vector<PlannedStage> stages;
  for (size_t i = 0; i < placements.size(); ++i) {
    const auto [device, range] = placements[i];
    const StageMemory memory = MemoryOf(problem, range);
    PlannedStage stage;
    stage.device = device;
    stage.layers = range;
    if (i > 0) stage.opener = problem.cluster.link(placements[i - 1].device, device).opener;
    stage.weight_bytes = memory.weight_bytes;
    stage.kv_bytes = memory.kv_bytes;
    stage.buffer_bytes = memory.buffer_bytes;
    stage.needed_bytes = memory.needed_bytes();
    stage.decode_s = decode.stage_s(device, range);
    stage.prefill_s = prefill.stage_s(device, range);
    if (i + 1 < placements.size()) {
      const int32_t next = placements[i + 1].device;
      stage.decode_hop_s = decode.hop_s(device, next, range.end);
      stage.prefill_hop_s = prefill.hop_s(device, next, range.end);
    } else {
      stage.decode_hop_s = decode.control_hop_s(device, problem.cluster.coordinator());
      stage.prefill_hop_s = stage.decode_hop_s;
    }
    stages.push_back(stage);
  }
  return stages;
}

}  // namespace

std::vector<Placement> PlacementsOf(const Plan& plan) {
  std::vector<Placement> placements;
  for (const PlannedStage& stage : plan.stages) placements.push_back({stage.device, stage.layers});
  return placements;
}

Result<Plan> EvaluatePlan(const PlanProblem& problem, const std::vector<Placement>& placements,
                          const std::string& strategy) {
  RETURN_IF_ERROR(CheckCover(problem, placements));
  RETURN_IF_ERROR(CheckNeighbours(problem, placements));
  RETURN_IF_ERROR(CheckUses(problem, placements));
  RETURN_IF_ERROR(CheckEnd(problem, "first", problem.constraints.first, placements.front().device));
  RETURN_IF_ERROR(CheckEnd(problem, "last", problem.constraints.last, placements.back().device));
  RETURN_IF_ERROR(CheckOrder(problem, placements));
  RETURN_IF_ERROR(CheckLinks(problem, placements));
  Plan plan;
  plan.strategy = strategy;
  plan.stages = Charge(problem, placements);
  RETURN_IF_ERROR(CheckMemory(problem, plan.stages));
  Predict(problem, placements, plan);
  plan.objective = Value(problem.objective, plan.prediction);
  return plan;
}

}  // namespace shoal

#include "coordinator/service/mesh_planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "partitioner/optimal.h"
#include "partitioner/relay.h"
#include "partitioner/strategy.h"
#include "partitioner/subproblem.h"

namespace shoal {

namespace {

constexpr double kAssumedBytesPerS = 1e9;  // of links that are not measured
constexpr size_t kMostSpares = 16;         // of one node

// Without measurements. A hub is no way to a node that can dial the other end itself.
Cluster AssumedCluster(const std::vector<PlannedNode>& nodes) {
  Cluster cluster =
      UniformCluster(std::vector<DeviceProfile>(nodes.size()), {.bytes_per_s = kAssumedBytesPerS});
  for (int32_t from = 0; from < cluster.device_count(); ++from) {
    for (int32_t to = 0; to < cluster.device_count(); ++to) {
      const auto dials_out = [&](int32_t device) {
        return nodes[static_cast<size_t>(device)].description.dials_out;
      };
      if (dials_out(from) || !dials_out(to)) continue;
      cluster.link(from, to).opener = LinkOpener::kReceiver;
    }
  }
  return cluster;
}

}  // namespace

std::vector<int32_t> MembersOf(const std::vector<PlannedNode>& nodes) {
  std::vector<int32_t> members;
  for (const PlannedNode& node : nodes) members.push_back(node.member);
  return members;
}

void MeshPlanner::SetMeasured(Cluster cluster, std::vector<int32_t> members) {
  measured_ = std::move(cluster);
  measured_members_ = std::move(members);
}

bool MeshPlanner::NeedsMeasurement(const std::vector<PlannedNode>& nodes) const {
  return options_.objective && options_.split.empty() && !Measured(nodes);
}

// The nodes' indices in the measured cluster; nothing if one is not in it.
std::optional<std::vector<int32_t>> MeshPlanner::Measured(
    const std::vector<PlannedNode>& nodes) const {
  std::vector<int32_t> devices;
  for (const PlannedNode& node : nodes) {
    const auto found =
        std::lower_bound(measured_members_.begin(), measured_members_.end(), node.member);
    if (found == measured_members_.end() || *found != node.member) return std::nullopt;
    devices.push_back(static_cast<int32_t>(found - measured_members_.begin()));
  }
  return devices;
}

// Nodes that share a machine share its memory, where no user has limited theirs; unless they were
// measured one by one, they count as equals, so that noise does not tilt the split.
Result<PlanProblem> MeshPlanner::ExactProblem(const std::vector<PlannedNode>& nodes) const {
  std::map<std::string, int> on_host;
  std::map<std::string, double> best_speed;
  for (const PlannedNode& node : nodes) {
    ++on_host[node.description.host_id];
    double& best = best_speed[node.description.host_id];
    best = std::max(best, node.description.weight_bytes_per_s);
  }
  PlanProblem problem;
  problem.model = options_.shape;
  problem.workload = options_.workload;
  problem.objective = options_.objective.value_or(Objective::Latency());
  const std::optional<std::vector<int32_t>> measured = Measured(nodes);
  if (measured) {
    problem.cluster = measured_;
    ASSIGN_OR_RETURN(problem, ProblemOf(problem, *measured));
  } else {
    problem.cluster = AssumedCluster(nodes);
  }
  ApplyLinks(nodes, problem.cluster);
  for (size_t i = 0; i < nodes.size(); ++i) {
    const NodeDescription& description = nodes[i].description;
    DeviceProfile& device = problem.cluster.devices[i];
    device.name = description.name;
    device.memory_bytes = description.memory_bytes;
    if (!description.memory_limited) device.memory_bytes /= on_host[description.host_id];
    if (!measured) device.speeds = {{"*", {{1, best_speed[description.host_id]}}}};
  }
  return problem;
}

bool MeshPlanner::HasBroken(const std::vector<PlannedNode>& nodes) const {
  const std::vector<int32_t> members = MembersOf(nodes);
  const auto there = [&](int32_t member) {
    return std::binary_search(members.begin(), members.end(), member);
  };
  return std::any_of(links_.begin(), links_.end(), [&](const auto& link) {
    return !link.second && there(link.first.first) && there(link.first.second);
  });
}

void MeshPlanner::ApplyLinks(const std::vector<PlannedNode>& nodes, Cluster& cluster) const {
  for (int32_t from = 0; from < cluster.device_count(); ++from) {
    for (int32_t to = 0; to < cluster.device_count(); ++to) {
      const auto member = [&](int32_t device) { return nodes[static_cast<size_t>(device)].member; };
      const auto known = links_.find({member(from), member(to)});
      if (known == links_.end()) continue;
      LinkProfile& link = cluster.link(from, to);
      if (known->second == LinkOpener::kRelay) {
        const int32_t relay = cluster.coordinator();
        link = RelayedLink(cluster.link(from, relay), cluster.link(relay, to));
      } else if (known->second) {
        link.opener = *known->second;
      } else {
        link.usable = false;
      }
    }
  }
}

Result<PlanProblem> MeshPlanner::Problem(const std::vector<PlannedNode>& nodes) const {
  ASSIGN_OR_RETURN(PlanProblem problem, ExactProblem(nodes));
  ChargeActivations(options_.wire, problem.model);
  return problem;
}

Result<Plan> MeshPlanner::MakePlan(const std::vector<PlannedNode>& nodes, bool everyone) const {
  ASSIGN_OR_RETURN(const PlanProblem problem, Problem(nodes));
  if (options_.split.empty() || !everyone) {
    const bool best = (options_.objective && Measured(nodes)) || HasBroken(nodes);
    return best ? MakeOptimal()->Place(problem) : MakeSpeedProportional()->Place(problem);
  }
  RETURN_IF_ERROR(CheckProblem(problem));
  std::vector<Placement> placements;
  for (int32_t begin = 0; const int32_t layers : options_.split) {
    const auto device = static_cast<int32_t>(placements.size());
    placements.push_back({device, StageRange{begin, begin + layers}});
    begin += layers;
  }
  if (placements.size() != nodes.size()) {
    return InvalidArgument(fmt::format("the split has {} parts, there are {} devices",
                                       placements.size(), nodes.size()));
  }
  return EvaluatePlan(problem, placements, "given");
}

Result<Plan> MeshPlanner::Charge(const std::vector<PlannedNode>& nodes,
                                 const std::vector<Placement>& placements,
                                 const std::string& strategy) const {
  ASSIGN_OR_RETURN(const PlanProblem problem, Problem(nodes));
  RETURN_IF_ERROR(CheckProblem(problem));
  return EvaluatePlan(problem, placements, strategy);
}

Result<std::vector<ActivationCodec>> MeshPlanner::Codecs(const std::vector<PlannedNode>& nodes,
                                                         const Plan& plan) const {
  ASSIGN_OR_RETURN(const PlanProblem problem, ExactProblem(nodes));
  ASSIGN_OR_RETURN(std::vector<ActivationCodec> codecs, ChooseCodecs(options_.wire, problem, plan));
  if (options_.wire) return codecs;
  // Between nodes of one machine nothing is saved: what was measured there is the processor.
  const auto host_of = [&](size_t stage) {
    return nodes[static_cast<size_t>(plan.stages[stage].device)].description.host_id;
  };
  for (size_t stage = 1; stage < codecs.size(); ++stage) {
    if (host_of(stage - 1) == host_of(stage)) codecs[stage] = {};
  }
  return codecs;
}

void MeshPlanner::AddSpares(const std::vector<PlannedNode>& all,
                            const std::vector<PlannedNode>& left, int32_t losses,
                            std::vector<std::vector<SpareStage>>& spares) const {
  if (losses == 0 || left.size() < 2) return;
  for (size_t lost = 0; lost < left.size(); ++lost) {
    std::vector<PlannedNode> rest = left;
    rest.erase(rest.begin() + static_cast<ptrdiff_t>(lost));
    const Result<Plan> plan = MakePlan(rest, false);
    if (!plan.ok()) continue;
    for (size_t stage = 0; stage < plan->stages.size(); ++stage) {
      const PlannedNode& node = rest[static_cast<size_t>(plan->stages[stage].device)];
      const auto index = std::find_if(all.begin(), all.end(), [&](const PlannedNode& one) {
        return one.member == node.member;
      });
      std::vector<SpareStage>& held = spares[static_cast<size_t>(index - all.begin())];
      const StageRange& layers = plan->stages[stage].layers;
      const SpareStage spare{{layers.begin, layers.end}, static_cast<int32_t>(stage)};
      const bool known = std::find(held.begin(), held.end(), spare) != held.end();
      if (!known && held.size() < kMostSpares) held.push_back(spare);
    }
    AddSpares(all, rest, losses - 1, spares);
  }
}

std::vector<std::vector<SpareStage>> MeshPlanner::Spares(const std::vector<PlannedNode>& nodes,
                                                         int32_t losses) const {
  std::vector<std::vector<SpareStage>> spares(nodes.size());
  AddSpares(nodes, nodes, losses, spares);
  return spares;
}

Result<ReplanDecision> MeshPlanner::Decide(const std::vector<PlannedNode>& nodes,
                                           const RunningPlan& running) const {
  if (!options_.objective || !Measured(nodes)) {
    ASSIGN_OR_RETURN(const Plan candidate, MakePlan(nodes, false));
    ReplanDecision decision;
    decision.move = running.placements.size() < candidate.stages.size();
    decision.reason = decision.move ? "every node is to have a part" : "every node has its part";
    return decision;
  }
  ASSIGN_OR_RETURN(const PlanProblem problem, Problem(nodes));
  ASSIGN_OR_RETURN(const Plan candidate, MakeOptimal()->Place(problem));
  return DecideReplan(problem, running, candidate, ReplanPolicy{});
}

}  // namespace shoal

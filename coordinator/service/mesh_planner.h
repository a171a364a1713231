// Plans of a mesh: what its nodes said of themselves, and what was measured if it was, in; where
// the layers go, and whether that is worth a move, out. Does not talk to anybody.
//
// Thread rule: belongs to one thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "coordinator/service/node_link.h"
#include "coordinator/service/wire_choice.h"
#include "partitioner/plan.h"
#include "partitioner/replan.h"

namespace shoal {

struct PlannerOptions {
  ModelShape shape;
  std::vector<int32_t> split;  // layers of each node while all are there; empty: planned
  // What is best: nodes and links are to be measured, and the plan may leave nodes out. Nothing:
  // every node has a part, by speed and memory.
  std::optional<Objective> objective;
  Workload workload;
  WireChoice wire = ActivationCodec{};  // how activations travel between nodes
};

// A node that may be planned with.
struct PlannedNode {
  int32_t member = 0;  // its number
  NodeDescription description;
};

std::vector<int32_t> MembersOf(const std::vector<PlannedNode>& nodes);

class MeshPlanner {
 public:
  explicit MeshPlanner(PlannerOptions options) : options_(std::move(options)) {}

  // Whether a plan over these nodes needs SetMeasured to have been called for them.
  bool NeedsMeasurement(const std::vector<PlannedNode>& nodes) const;
  // `members` are the numbers of the cluster's devices, ascending.
  void SetMeasured(Cluster cluster, std::vector<int32_t> members);

  // What is known of links (from a member, to a member) beyond what was measured: who opens them;
  // nothing: nobody can. Then no plan has the two next to each other, and nodes without a part are
  // no error.
  using KnownLinks = std::map<std::pair<int32_t, int32_t>, std::optional<LinkOpener>>;
  void SetLinks(KnownLinks links) { links_ = std::move(links); }

  const KnownLinks& links() const { return links_; }

  // The nodes ascend by member; devices of the plans are indices of `nodes`. Without measurements
  // of all of them, they are planned for by what they say of themselves. `everyone`: whether these
  // are all nodes that the mesh has. Errors: those of strategies.
  Result<Plan> MakePlan(const std::vector<PlannedNode>& nodes, bool everyone) const;
  // Given stages, which must fit.
  Result<Plan> Charge(const std::vector<PlannedNode>& nodes,
                      const std::vector<Placement>& placements, const std::string& strategy) const;
  // How activations travel into each stage of a plan over `nodes`.
  Result<std::vector<ActivationCodec>> Codecs(const std::vector<PlannedNode>& nodes,
                                              const Plan& plan) const;
  // What each node would have to load if up to `losses` of the nodes were lost: the plans over
  // those that would be left. Nothing where they do not suffice.
  std::vector<std::vector<SpareStage>> Spares(const std::vector<PlannedNode>& nodes,
                                              int32_t losses) const;
  // Whether to leave `running` (devices as in `nodes`) for the best plan over `nodes`. Without
  // measurements every node is to have its part: then it is worth it if one has none.
  Result<ReplanDecision> Decide(const std::vector<PlannedNode>& nodes,
                                const RunningPlan& running) const;

 private:
  void AddSpares(const std::vector<PlannedNode>& all, const std::vector<PlannedNode>& left,
                 int32_t losses, std::vector<std::vector<SpareStage>>& spares) const;
  // Activations counted as f32, and as they travel.
  Result<PlanProblem> ExactProblem(const std::vector<PlannedNode>& nodes) const;
  Result<PlanProblem> Problem(const std::vector<PlannedNode>& nodes) const;
  std::optional<std::vector<int32_t>> Measured(const std::vector<PlannedNode>& nodes) const;
  bool HasBroken(const std::vector<PlannedNode>& nodes) const;
  void ApplyLinks(const std::vector<PlannedNode>& nodes, Cluster& cluster) const;

  const PlannerOptions options_;
  Cluster measured_;
  std::vector<int32_t> measured_members_;
  KnownLinks links_;
};

}  // namespace shoal

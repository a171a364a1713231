// Whether to leave the plan that runs for a better one: what is gained against what the move costs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "partitioner/plan.h"

namespace shoal {

struct ReplanPolicy {
  double horizon_s = 600;   // the gain of so much time must outweigh the move
  double least_gain = 0.1;  // share of the objective; less is noise of the measurements
};

// What is there when the question comes up.
struct RunningPlan {
  std::vector<Placement> placements;          // devices by index into the problem's cluster
  std::vector<std::vector<StageRange>> held;  // [devices] layers on their disks or in their memory,
                                              // apart from the placements; may be empty
  int64_t live_tokens = 0;                    // of all sessions: their KV is rebuilt by replay
};

struct ReplanDecision {
  bool move = false;
  std::string reason;          // for people
  double gain = 0;             // 1 - new objective / old objective
  int64_t transfer_bytes = 0;  // weights that devices do not hold yet
  double transfer_s = 0;       // over the coordinator's links, all devices at once
  double rebuild_s = 0;        // of the KV
};

// `problem` has the newest measurements; a device that is lost is excluded by its constraints.
// `candidate` is a plan for it. If the running plan no longer passes EvaluatePlan, it is left at
// once. REQUIRES CheckProblem to have passed.
ReplanDecision DecideReplan(const PlanProblem& problem, const RunningPlan& running,
                            const Plan& candidate, const ReplanPolicy& policy);

}  // namespace shoal

// A plan: which device holds which layers, in which order, and what that is predicted to cost.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "partitioner/problem.h"

namespace shoal {

// A stage before anything is known of its cost.
struct Placement {
  int32_t device = 0;  // index into the cluster's devices
  StageRange layers;

  bool operator==(const Placement&) const = default;
};

struct PlannedStage {
  int32_t device = 0;
  StageRange layers;
  LinkOpener opener = LinkOpener::kSender;  // of the link from the stage before, if there is one
  int64_t weight_bytes = 0;
  int64_t kv_bytes = 0;      // for the workload's kv_tokens
  int64_t buffer_bytes = 0;  // working memory
  int64_t needed_bytes = 0;  // of all three, with the margin (promise 4)
  double decode_s = 0;       // computing a step of one token
  double decode_hop_s = 0;   // sending it on: to the next stage, or the coordinator
  double prefill_s = 0;      // computing one chunk of a prompt
  double prefill_hop_s = 0;
  double utilization = 0;  // share of the time that it computes with `sessions` in flight
};

struct Prediction {
  double decode_s = 0;          // TPOT of a session alone
  double first_token_s = 0;     // TTFT of the workload's prompt on an idle pipeline
  double tokens_per_s = 0;      // of all the workload's sessions, decoding
  double joules_per_token = 0;  // decoding, of the devices used; 0: some device's watts are unknown
};

struct Plan {
  std::string strategy;
  std::vector<PlannedStage> stages;  // contiguous, in order, covering every layer once
  Prediction prediction;
  double objective = 0;    // of the problem's objective, seconds
  double lower_bound = 0;  // proved: no plan is better than this; 0: nothing was proved
};

std::vector<Placement> PlacementsOf(const Plan& plan);

// Working memory and weights are planned with this margin (promise 4).
constexpr double kMemoryMargin = 0.2;

// Charges placements with their cost, and checks them: the gate that every plan passes, whoever
// made it. REQUIRES CheckProblem to have passed. Errors: kInvalidArgument (no stages; ranges that
// are empty, not contiguous or do not cover [0, layers); a device that does not exist or stands
// twice, unless it is both `first` and `last` by constraint and holds both ends; a link between
// neighbours that is not usable; a constraint that does not hold), kResourceExhausted (a device
// whose memory the stage exceeds: names the device, what it needs and what it has).
Result<Plan> EvaluatePlan(const PlanProblem& problem, const std::vector<Placement>& placements,
                          const std::string& strategy);

}  // namespace shoal
